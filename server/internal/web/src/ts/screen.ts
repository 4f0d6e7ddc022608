// The remote desktop: noVNC on a channel, with what the tool bar does to it.
import RFB from '@novnc/novnc'
import { openChannel, type Closed } from './channel'

// keysyms of X11, which RFB sends
const keys: Record<string, [number, string]> = {
  Control: [0xffe3, 'ControlLeft'], Alt: [0xffe9, 'AltLeft'], Shift: [0xffe1, 'ShiftLeft'], Super: [0xffeb, 'MetaLeft'],
  Escape: [0xff1b, 'Escape'], Tab: [0xff09, 'Tab'], Delete: [0xffff, 'Delete'], Print: [0xff61, 'PrintScreen'],
  F4: [0xffc1, 'F4'], F11: [0xffc8, 'F11'], Left: [0xff51, 'ArrowLeft'], Up: [0xff52, 'ArrowUp'], Right: [0xff53, 'ArrowRight'], Down: [0xff54, 'ArrowDown'],
}

export class Screen {
  private rfb: RFB | undefined
  private held = new Set<string>()
  private viewOnly = false
  private fit = true

  constructor(private place: HTMLElement, private session: string, private up: () => void, private down: (c: Closed) => void) {}

  get open() { return this.rfb !== undefined }

  connect(control: boolean) {
    if (this.rfb) return
    this.place.replaceChildren()
    const ws = openChannel(this.session, 'desktop', control, (c) => {
      if (this.rfb !== rfb) return
      this.rfb = undefined
      this.held.clear()
      this.down(c)
    })
    const rfb = new RFB(this.place, ws, { shared: true })
    this.rfb = rfb
    rfb.background = 'transparent'
    rfb.showDotCursor = true
    this.apply()
    rfb.addEventListener('connect', () => {
      this.apply()
      rfb.focus()
      this.up()
    })
  }

  private apply() {
    if (!this.rfb) return
    this.rfb.viewOnly = this.viewOnly
    this.rfb.scaleViewport = this.fit
    this.rfb.clipViewport = false
  }

  setViewOnly(on: boolean) { if (on) this.release(); this.viewOnly = on; this.apply(); if (!on) this.rfb?.focus() }
  setFit(on: boolean) { this.fit = on; this.apply() }
  focus() { this.rfb?.focus() }
  blur() { this.rfb?.blur() }

  // press sends a combination such as "Control+Alt+Delete".
  press(combination: string) {
    const list = combination.split('+').map((k) => keys[k]!)
    for (const [sym, code] of list) this.rfb?.sendKey(sym, code, true)
    for (const [sym, code] of list.reverse()) this.rfb?.sendKey(sym, code, false)
    this.rfb?.focus()
  }

  // hold keeps a modifier down until it is pressed again; true means held now.
  hold(key: string): boolean {
    const [sym, code] = keys[key]!
    const on = !this.held.has(key)
    if (on) this.held.add(key)
    else this.held.delete(key)
    this.rfb?.sendKey(sym, code, on)
    this.rfb?.focus()
    return on
  }

  release() {
    for (const k of this.held) this.rfb?.sendKey(...keys[k]!, false)
    this.held.clear()
  }

  close() {
    this.release()
    const rfb = this.rfb
    this.rfb = undefined
    rfb?.disconnect()
  }
}
