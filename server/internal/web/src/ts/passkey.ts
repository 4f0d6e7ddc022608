// Passkeys (WebAuthn): a button asks the server for a challenge, the browser for an answer, and sends the
// answer with the form that it stands in. Where the browser can't, the page says so.

type Options = { publicKey: Record<string, unknown> & { challenge: string } }

const bytes = (s: string) => Uint8Array.from(atob(s.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
const text = (b: ArrayBuffer | null) => b === null ? undefined : btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
const listed = (l: unknown) => (l as { id: string }[] | undefined)?.map((k) => ({ ...k, id: bytes(k.id) }))

function answer(k: PublicKeyCredential): string {
  const r = k.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse
  return JSON.stringify({
    id: k.id, rawId: text(k.rawId), type: k.type, authenticatorAttachment: k.authenticatorAttachment ?? undefined, clientExtensionResults: k.getClientExtensionResults(),
    response: {
      clientDataJSON: text(r.clientDataJSON),
      ...(r.attestationObject ? { attestationObject: text(r.attestationObject), transports: r.getTransports?.() } : { authenticatorData: text(r.authenticatorData), signature: text(r.signature), userHandle: text(r.userHandle) }),
    },
  })
}

async function ceremony(button: HTMLButtonElement) {
  const res = await fetch(button.dataset.begin!, { method: 'POST', headers: { Accept: 'application/json' } })
  if (!res.ok) throw new Error(String(res.status))
  const { publicKey: o } = await res.json() as Options
  const common = { ...o, challenge: bytes(o.challenge) }
  const key = button.dataset.passkey === 'create'
    ? await navigator.credentials.create({ publicKey: { ...common, user: { ...(o.user as { id: string }), id: bytes((o.user as { id: string }).id) }, excludeCredentials: listed(o.excludeCredentials) } as unknown as PublicKeyCredentialCreationOptions })
    : await navigator.credentials.get({ publicKey: { ...common, allowCredentials: listed(o.allowCredentials) } as unknown as PublicKeyCredentialRequestOptions })
  return answer(key as PublicKeyCredential)
}

export function passkeys() {
  for (const button of document.querySelectorAll<HTMLButtonElement>('button[data-passkey]')) {
    const form = button.form!
    const field = form.elements.namedItem(button.dataset.answer!) as HTMLInputElement
    const problem = form.querySelector<HTMLElement>('[data-passkey-error]')!
    if (!window.isSecureContext || !window.PublicKeyCredential) {
      problem.hidden = false
      button.disabled = true
      continue
    }
    button.addEventListener('click', async (e) => {
      if (field.value) return
      e.preventDefault()
      problem.hidden = true
      try {
        field.value = await ceremony(button)
        form.requestSubmit(button)
      } catch {
        problem.hidden = false
      }
    })
  }
}
