// A real OpenID provider for tests: npm's oidc-provider with one client, its own sign-in and consent pages, and people whose
// name says what they are. usage: node provider.mjs PORT CERT KEY REDIRECT
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import Provider from 'oidc-provider'

const [port, cert, key, redirect] = process.argv.slice(2)
const issuer = `https://localhost:${port}`
const provider = new Provider(issuer, {
  clients: [{ client_id: 'traybell', client_secret: 'Client-Secret-1', redirect_uris: [redirect], id_token_signed_response_alg: 'RS256' }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@contoso.example`, email_verified: id !== 'unverified', name: id[0].toUpperCase() + id.slice(1), groups: id === 'carla' ? ['staff', 'leads'] : ['staff'] })
  })
})
createServer({ cert: readFileSync(cert), key: readFileSync(key) }, provider.callback()).listen(Number(port), 'localhost', () => console.log('ready'))
