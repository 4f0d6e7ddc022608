declare module '@novnc/novnc' {
  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: WebSocket | string, options?: { shared?: boolean })
    viewOnly: boolean
    scaleViewport: boolean
    clipViewport: boolean
    resizeSession: boolean
    showDotCursor: boolean
    qualityLevel: number
    background: string
    disconnect(): void
    focus(): void
    blur(): void
    sendKey(keysym: number, code: string | null, down?: boolean): void
    sendCtrlAltDel(): void
    clipboardPasteFrom(text: string): void
  }
}
declare module 'htmx.org' {
  const htmx: { config: { includeIndicatorCSS: boolean } }
  export default htmx
}
