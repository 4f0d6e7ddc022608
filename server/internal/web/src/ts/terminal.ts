// The terminal: xterm.js on a channel of frames (one byte of type, four of length, payload).
import { FitAddon } from '@xterm/addon-fit'
import { Terminal as XTerm } from '@xterm/xterm'
import { openChannel, type Closed } from './channel'

const DATA = 0, SIZE = 1, EXIT = 2
const LONGEST = 64 << 10 // of a frame's payload

function frame(type: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const b = new Uint8Array(5 + payload.length)
  b[0] = type
  new DataView(b.buffer).setUint32(1, payload.length)
  b.set(payload, 5)
  return b
}

export class Terminal {
  private term: XTerm | undefined
  private ws: WebSocket | undefined
  private watch: ResizeObserver | undefined

  constructor(private place: HTMLElement, private session: string, private up: () => void, private exit: (code: number) => void, private down: (c: Closed) => void) {}

  get open() { return this.ws !== undefined }

  connect() {
    if (this.ws) return
    this.place.replaceChildren()
    this.term?.dispose()
    const term = new XTerm({
      fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", Consolas, "DejaVu Sans Mono", monospace', fontSize: 14,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches, scrollback: 5000, screenReaderMode: false,
      theme: { background: '#0c1113', foreground: '#e5eaeb', cursor: '#62c3ce', selectionBackground: '#2b6972' },
    })
    const fit = new FitAddon()
    term.loadAddon(fit)
    // xterm sends a letter on its keydown and prevents the keypress. What types by program (assistive tools,
    // automation) may send the keypress all the same: it must not count twice.
    let down: KeyboardEvent | undefined
    term.attachCustomKeyEventHandler((e) => {
      if (e.type === 'keydown') down = e
      return e.type !== 'keypress' || !down?.defaultPrevented
    })
    term.open(this.place)
    this.term = term

    const ws = openChannel(this.session, 'terminal', false, (c) => {
      if (this.ws !== ws) return
      this.ws = undefined
      this.watch?.disconnect()
      this.down(c)
    })
    this.ws = ws
    const send = (type: number, payload: Uint8Array) => { if (ws.readyState === WebSocket.OPEN) ws.send(frame(type, payload)) }
    const size = () => {
      const p = new Uint8Array(4), v = new DataView(p.buffer)
      v.setUint16(0, term.cols)
      v.setUint16(2, term.rows)
      send(SIZE, p)
    }
    const utf8 = new TextEncoder()
    const type = (b: Uint8Array) => { for (let i = 0; i < b.length; i += LONGEST) send(DATA, b.subarray(i, i + LONGEST)) }
    term.onData((s) => type(utf8.encode(s)))
    term.onBinary((s) => type(Uint8Array.from(s, (c) => c.charCodeAt(0))))
    term.onResize(size)
    ws.addEventListener('open', () => { fit.fit(); size(); term.focus(); this.up() })
    let rest = new Uint8Array(0)
    ws.addEventListener('message', (e: MessageEvent<ArrayBuffer>) => {
      const more = new Uint8Array(e.data)
      let b = more
      if (rest.length) { b = new Uint8Array(rest.length + more.length); b.set(rest); b.set(more, rest.length) }
      let i = 0
      while (b.length - i >= 5) {
        const n = new DataView(b.buffer, b.byteOffset + i, 5).getUint32(1)
        if (n > LONGEST) { ws.close(1002); return }
        if (b.length - i < 5 + n) break
        const payload = b.subarray(i + 5, i + 5 + n)
        if (b[i] === DATA) term.write(payload.slice())
        else if (b[i] === EXIT && n === 4) this.exit(new DataView(payload.buffer, payload.byteOffset, 4).getInt32(0))
        i += 5 + n
      }
      rest = b.slice(i)
    })
    this.watch = new ResizeObserver(() => { if (this.place.offsetParent) fit.fit() })
    this.watch.observe(this.place)
  }

  focus() { this.term?.focus() }

  close() {
    const ws = this.ws
    this.ws = undefined
    this.watch?.disconnect()
    ws?.close(1000)
  }
}
