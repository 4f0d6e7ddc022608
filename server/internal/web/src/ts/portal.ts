// What every page of the portal gets on top of plain HTML: lists and threads that move by
// themselves, keys, copy buttons, the reader's time zone. Each page works without it.
import htmx from 'htmx.org'
import { passkeys } from './passkey'

htmx.config.includeIndicatorCSS = false

const $ = <T extends Element>(selector: string, root: ParentNode = document) => root.querySelector<T>(selector)
const $$ = <T extends Element>(selector: string, root: ParentNode = document) => [...root.querySelectorAll<T>(selector)]

// The server prints times in this zone from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
if (zone && !document.cookie.includes(`tz=${zone}`)) {
  document.cookie = `tz=${zone}; path=/; max-age=31536000; samesite=lax; secure`
}

// Server-sent hints become events on the body; hx-trigger="tb-ticket from:body" does the rest. While a
// menu is open they wait: what somebody is about to press must not move.
let events: EventSource | undefined
const waiting = new Map<string, Set<string>>()
function flush() {
  if ($('main details.tb-menu[open]')) return
  for (const [topic, ids] of waiting) {
    for (const detail of ids) document.body.dispatchEvent(new CustomEvent(`tb-${topic}`, { detail }))
  }
  waiting.clear()
}
function listen() {
  if (events || !$('[data-live]')) return
  events = new EventSource('/events')
  for (const topic of ['ticket', 'device', 'session']) {
    events.addEventListener(topic, (e) => {
      const ids = waiting.get(topic) ?? new Set()
      waiting.set(topic, ids.add((e as MessageEvent<string>).data))
      flush()
    })
  }
}
listen()
document.addEventListener('toggle', flush, true)
addEventListener('pagehide', () => { events?.close(); events = undefined })
addEventListener('pageshow', listen)

function typing(e: KeyboardEvent) {
  const t = e.target as HTMLElement
  return e.ctrlKey || e.metaKey || e.altKey || t.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName)
}

function step(by: number) {
  const rows = $$<HTMLAnchorElement>('[data-row]').filter((r) => r.offsetParent !== null)
  if (!rows.length) return
  const at = rows.findIndex((r) => r === document.activeElement)
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))]
  next?.focus()
  next?.scrollIntoView({ block: 'nearest' })
}

document.addEventListener('keydown', (e) => {
  if (e.key === 'Escape') {
    for (const d of $$<HTMLDetailsElement>('details.tb-menu[open]')) { d.open = false; $<HTMLElement>('summary', d)?.focus() }
    return
  }
  if (typing(e) || document.body.dataset.keys === 'off') return
  const act: Record<string, () => void> = {
    '/': () => ($('#search-page') ?? $<HTMLInputElement>('#search') as HTMLElement | null)?.dispatchEvent(new Event('tb-focus')),
    c: () => $<HTMLAnchorElement>('#create')?.click(),
    t: () => (document.activeElement?.closest('tr')?.querySelector<HTMLButtonElement>('[data-take]') ?? $<HTMLButtonElement>('[data-take]'))?.click(),
    j: () => step(1),
    k: () => step(-1),
    r: () => { pick('#kind-answer') },
    n: () => { pick('#kind-note') },
  }
  const f = act[e.key]
  if (!f || e.shiftKey && e.key !== '/') return
  e.preventDefault()
  f()
})
for (const input of $$<HTMLInputElement>('#search, #search-page')) {
  input.addEventListener('tb-focus', () => { input.focus(); input.select() })
}

function pick(radio: string) {
  const r = $<HTMLInputElement>(radio)
  if (!r) return
  r.checked = true
  $<HTMLTextAreaElement>('#text')?.focus()
}

// Menus are <details>: a click elsewhere closes them, and so does opening another one.
document.addEventListener('click', (e) => {
  for (const d of $$<HTMLDetailsElement>('details.tb-menu[open]')) {
    if (!d.contains(e.target as Node)) d.open = false
  }
})

document.addEventListener('click', async (e) => {
  const b = (e.target as Element).closest<HTMLElement>('[data-copy], [data-reveal], [data-print], [data-save]')
  if (!b) return
  if (b.dataset.copy) {
    const from = document.getElementById(b.dataset.copy)!
    await navigator.clipboard.writeText(from instanceof HTMLInputElement ? from.value : from.textContent!.trim())
    const label = $('span', b)!
    const before = label.textContent
    label.textContent = b.dataset.done ?? before
    setTimeout(() => { label.textContent = before }, 2000)
  } else if (b.dataset.reveal) {
    const field = document.getElementById(b.dataset.reveal) as HTMLInputElement
    field.type = field.type === 'password' ? 'text' : 'password'
    b.setAttribute('aria-pressed', String(field.type === 'text'))
  } else if (b.dataset.save) {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([document.getElementById(b.dataset.save)!.textContent!.trim() + '\n'], { type: 'text/plain' }))
    link.download = b.dataset.name!
    link.click()
    URL.revokeObjectURL(link.href)
  } else print()
})
for (const b of $$<HTMLElement>('[data-js]')) b.hidden = false
passkeys()

// The browser's own file field speaks the browser's language; ours names what was chosen.
for (const label of $$<HTMLLabelElement>('.tb-attach')) {
  const input = $<HTMLInputElement>('input', label)!
  label.classList.add('js')
  input.classList.add('tb-hide')
  input.addEventListener('change', () => { $('.names', label)!.textContent = [...input.files!].map((f) => f.name).join(', ') })
}

// The first administrator's and the invitation's link carry their secret behind #, where no log
// and no mail scanner's request sees it.
const secret = $<HTMLInputElement>('input[data-fragment]')
if (secret && !secret.value && location.hash.length > 1) {
  const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? location.hash.slice(1)
  history.replaceState(null, '', location.pathname)
  if (secret.dataset.fragment === 'submit') {
    secret.value = token
    secret.form!.requestSubmit()
  } else secret.value = token
}

// A form is sent once; a second press of its button while the first is under way does nothing.
document.addEventListener('submit', (e) => {
  const form = e.target as HTMLFormElement
  if (form.method === 'get') return
  if (form.dataset.sent) { e.preventDefault(); return }
  form.dataset.sent = '1'
  setTimeout(() => { delete form.dataset.sent }, 4000)
})
