// The session console. The server says what the session is (GET /sessions/ID/state, again at each
// hint on /events) in the reader's language; this module shows it and opens the channels it allows.
import { Screen } from './screen'
import { Terminal } from './terminal'
import type { Closed } from './channel'

interface State {
  state: 'asking' | 'waiting' | 'allowed' | 'refused' | 'ended'
  heading: string
  text: string
  seconds: number // left to answer, when asking; {n} in text
  retry: number // seconds until the same technician may ask again
  again: boolean // asking again is possible
  words: string
  person: string
  view: boolean
  control: boolean
  terminal: boolean
  allowed: string
  denied: string
  since: number // Unix milliseconds, 0 before the first channel
  leave: 'leave' | 'withdraw' | 'back' // what leaving is now
}

const root = document.getElementById('console')!
const id = root.dataset.session!
const texts = JSON.parse(document.getElementById('console-texts')!.textContent!) as Record<string, string>
const el = (name: string) => document.getElementById(name)!
const set = (name: string, text: string) => { const e = el(name); if (e.textContent !== text) e.textContent = text }
const show = (name: string, on: boolean) => { el(name).hidden = !on }

let now: State | undefined
let until = 0 // when the countdown is over, performance.now()
let tab: 'desktop' | 'terminal' = 'desktop'
let lost = 0 // attempts since the connection was lost
let failed = '' // why the last channel did not open, or how it ended
let since = 0 // when the channel came up, performance.now()

function state(s: 'asking' | 'waiting' | 'connected' | 'refused' | 'ended') {
  if (root.dataset.state !== s) root.dataset.state = s
}

function up() {
  since = performance.now()
  failed = ''
  render()
}
const screen = new Screen(el('screen'), id, up, (c) => closed(c, () => screen.connect(now!.control)))
const terminal = new Terminal(el('terminal'), id, up, (code) => { failed = texts.exit!.replace('{n}', String(code)) }, (c) => closed(c, () => terminal.connect()))

// A lost connection is not leaving: try again for about a minute, without a new question. The shell's end
// and a refusal are not lost connections.
const tries = 8
function closed(c: Closed, again: () => void) {
  if (c.code) failed = texts[c.code] ?? texts.failed!
  if (since && performance.now() - since > 10_000) lost = 0
  since = 0
  void refresh().then(() => {
    if (now?.state !== 'allowed' || failed) { lost = 0; render(); return }
    if (lost >= tries) { lost = 0; failed = texts.failed!; render(); return }
    const wait = Math.min(15_000, 250 * 2 ** lost) * (0.5 + Math.random() / 2)
    lost++
    render()
    setTimeout(() => { if (now?.state === 'allowed' && !failed) again() }, wait)
  })
}

let asked = 0
async function refresh() {
  const mine = ++asked
  try {
    const r = await fetch(`/sessions/${id}/state`, { headers: { Accept: 'application/json' } })
    if (r.redirected || !r.ok) { if (r.status === 401 || r.redirected) location.reload(); return }
    const s = await r.json() as State
    if (mine !== asked) return
    const first = now?.state !== 'allowed' && s.state === 'allowed'
    now = s
    until = performance.now() + 1000 * (s.seconds || s.retry)
    if (first) { failed = ''; if (tab === 'desktop' && s.view) screen.connect(s.control); else if (s.terminal && !s.view) choose('terminal') }
    if (s.state === 'ended' || s.state === 'refused') { screen.close(); terminal.close() }
    render()
  } catch { /* the network is away; the next hint or the timer asks again */ }
}

function render() {
  if (!now) return
  const s = now
  const on = s.state === 'allowed'
  const running = tab === 'desktop' ? screen.open : terminal.open
  const up = on && running && since > 0
  let heading = s.heading, text = s.text
  if (s.state !== 'allowed') state(s.state)
  else state(up ? 'connected' : 'waiting')
  if (on) {
    if (tab === 'desktop' && !s.view) { heading = texts.noview!; text = texts.notallowed! }
    else if (tab === 'terminal' && !s.terminal) { heading = texts.noterminal!; text = texts.notallowed! }
    else if (failed && !running) { heading = texts.closed!; text = failed }
    else if (lost) { heading = texts.lost!; text = texts.lostmore! }
    else { heading = texts.connecting!; text = '' }
  }
  const covered = root.dataset.state !== 'connected'
  show('notice', covered)
  el('screen').classList.toggle('off', tab !== 'desktop' || covered && !screen.open)
  el('terminal').classList.toggle('off', tab !== 'terminal' || !terminal.open && !failed)
  set('notice-heading', heading)
  const left = Math.max(0, Math.ceil((until - performance.now()) / 1000))
  const spoken = text.replace('{n}', String(left))
  set('notice-text', spoken)
  show('notice-words', !!s.words && s.state === 'asking')
  show('reconnect', on && covered && !!failed && !running)
  const again = el('again') as HTMLButtonElement | null
  if (again) { show('again-form', s.again && (s.state === 'refused' || s.state === 'ended' || s.state === 'waiting')); again.disabled = s.retry > 0 && left > 0; again.textContent = texts.again! + (again.disabled ? ` (${left} s)` : '') }
  for (const e of document.querySelectorAll('[data-words]')) e.textContent = s.words
  show('read', !!s.words && s.state !== 'ended' && s.state !== 'refused')
  set('leave', texts[`leave.${s.leave}`]!)
  el('leave').classList.toggle('btn-danger', s.leave === 'leave')
  set('allowed', s.allowed)
  set('denied', s.denied)
  const person = document.getElementById('person')
  if (person) { person.hidden = !up; el('person-name').textContent = s.person }
  for (const b of document.querySelectorAll<HTMLButtonElement>('[data-needs]')) b.disabled = !(up && tab === 'desktop' && (b.dataset.needs === 'view' || s.control))
  if (on && !s.control && s.view) press(el('viewonly'), el('control'))
  for (const t of ['desktop', 'terminal'] as const) el(`tab-${t}`).title = on && !(t === 'desktop' ? s.view : s.terminal) ? texts.notallowed! : ''
  el('tab-terminal').classList.toggle('locked', on && !s.terminal)
  el('tab-desktop').classList.toggle('locked', on && !s.view)
  root.classList.toggle('viewing', tab === 'desktop')
}

function choose(t: 'desktop' | 'terminal') {
  tab = t
  failed = ''
  for (const k of ['desktop', 'terminal'] as const) el(`tab-${k}`).setAttribute('aria-selected', String(k === t))
  if (now?.state === 'allowed') {
    if (t === 'desktop' && now.view) { if (!screen.open) screen.connect(now.control); else screen.focus() }
    if (t === 'terminal' && now.terminal) { if (!terminal.open) terminal.connect(); else requestAnimationFrame(() => terminal.focus()) }
  }
  render()
}
el('tab-desktop').addEventListener('click', () => choose('desktop'))
el('tab-terminal').addEventListener('click', () => choose('terminal'))
el('tabs').addEventListener('keydown', (e) => {
  if (e.key !== 'ArrowLeft' && e.key !== 'ArrowRight') return
  const other = tab === 'desktop' ? 'terminal' : 'desktop'
  choose(other)
  el(`tab-${other}`).focus()
})
el('reconnect').addEventListener('click', () => { failed = ''; lost = 0; choose(tab) })

function press(on: HTMLElement, off: HTMLElement) { on.setAttribute('aria-pressed', 'true'); off.setAttribute('aria-pressed', 'false') }
el('control').addEventListener('click', () => { screen.setViewOnly(false); press(el('control'), el('viewonly')) })
el('viewonly').addEventListener('click', () => { screen.setViewOnly(true); letGo(); press(el('viewonly'), el('control')) })
el('fit').addEventListener('click', () => { screen.setFit(true); press(el('fit'), el('full')) })
el('full').addEventListener('click', () => { screen.setFit(false); press(el('full'), el('fit')) })
el('fullscreen').addEventListener('click', () => {
  if (document.fullscreenElement) void document.exitFullscreen()
  else void root.requestFullscreen()
})
document.addEventListener('click', (e) => {
  const b = (e.target as Element).closest<HTMLElement>('[data-press], [data-hold]')
  if (!b) return
  if (b.dataset.press) { screen.press(b.dataset.press); letGo(); (b.closest('details') as HTMLDetailsElement | null)?.removeAttribute('open') }
  if (b.dataset.hold) b.setAttribute('aria-pressed', String(screen.hold(b.dataset.hold)))
})
function letGo() {
  screen.release()
  for (const b of document.querySelectorAll('[data-hold]')) b.setAttribute('aria-pressed', 'false')
}
// All modifiers are let go on a change of tab or window, and the keyboard has a way out of the screen.
addEventListener('blur', letGo)
el('stage').addEventListener('keydown', (e) => {
  if (e.ctrlKey && e.altKey && e.shiftKey && e.code === 'KeyL') {
    e.preventDefault()
    e.stopImmediatePropagation()
    letGo()
    screen.blur()
    el('leave').focus()
  }
}, true)

// An answer or a note is sent without leaving the page; the thread shows it by its hint.
const write = document.getElementById('write') as HTMLFormElement | null
write?.addEventListener('submit', (e) => {
  e.preventDefault()
  const body = new URLSearchParams(new FormData(write) as unknown as Record<string, string>)
  void fetch(write.action, { method: 'POST', body, redirect: 'manual' }).then((r) => {
    if (r.type === 'opaqueredirect') { write.reset(); document.body.dispatchEvent(new CustomEvent('tb-ticket')) } else write.submit()
  })
})

// The newest of the ticket's thread is in sight, before and after it moves.
const last = () => { const talk = document.getElementById('talk'); if (talk) talk.scrollTop = talk.scrollHeight }
last()
document.body.addEventListener('htmx:after:swap', last)

const dialog = el('leaving') as HTMLDialogElement
el('leave').addEventListener('click', () => {
  if (now?.leave === 'leave') dialog.showModal()
  else if (now?.leave === 'withdraw') (el('later') as HTMLFormElement).requestSubmit()
  else location.href = (document.getElementById('back') as HTMLAnchorElement).href
})
el('stay').addEventListener('click', () => dialog.close())
el('show-beside').addEventListener('click', () => {
  const open = el('beside').classList.toggle('open')
  el('show-beside').setAttribute('aria-expanded', String(open))
})

setInterval(() => {
  if (!now) return
  if (now.since && now.state === 'allowed') {
    const s = Math.max(0, Math.floor((Date.now() - now.since) / 1000))
    set('elapsed', [s / 3600, s / 60 % 60, s % 60].map((n) => String(Math.floor(n)).padStart(2, '0')).join(':'))
  }
  if (now.state !== 'allowed' && (now.seconds || now.retry)) render()
}, 1000)

document.body.addEventListener('tb-session', (e) => { if ((e as CustomEvent<string>).detail === id) void refresh() })
document.addEventListener('visibilitychange', () => { if (!document.hidden) void refresh() })
setInterval(() => { if (now?.state === 'asking' || now?.state === 'waiting' || lost) void refresh() }, 5000)
addEventListener('pagehide', () => { screen.close(); terminal.close() })
void refresh()
