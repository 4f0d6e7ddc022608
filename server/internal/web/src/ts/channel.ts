// A channel of the session: a WebSocket whose closing tells why.

// Why a channel is closed. The server closes with 4000 and a code of the wire ("grant_expired");
// its sentence stands in the page's texts.
export interface Closed { code: string }

export function openChannel(session: string, kind: 'desktop' | 'terminal', control: boolean, closed: (c: Closed) => void): WebSocket {
  const ws = new WebSocket(`wss://${location.host}/sessions/${session}/channels/${kind}${control ? '?control=1' : ''}`)
  ws.binaryType = 'arraybuffer'
  ws.addEventListener('close', (e) => {
    closed({ code: e.code === 4000 ? e.reason || 'failed' : '' })
  })
  return ws
}
