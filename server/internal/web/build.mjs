// Builds the portal's assets into dist/: hashed names, a manifest.json that maps plain names to
// them, everything gzipped (the server sends the bytes as they are). `node build.mjs`.
import * as esbuild from 'esbuild'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { basename, join } from 'node:path'

const here = import.meta.dirname
const dist = join(here, 'dist')
const read = (...p) => readFileSync(join(here, ...p), 'utf8')
const files = (dir, end) => readdirSync(join(here, dir)).filter((f) => f.endsWith(end)).sort()

const manifest = {}
const out = {}
function put(name, body) {
  const hash = createHash('sha256').update(body).digest('hex').slice(0, 12)
  const dot = name.lastIndexOf('.')
  manifest[name] = `${name.slice(0, dot)}-${hash}${name.slice(dot)}`
  out[manifest[name]] = Buffer.from(body)
}

// Icons: one sprite of the outline icons that templates and modules name ("i-search"), and our own
// shapes in src/icons/ (the bell, statuses, severities).
const templates = files('templates', '.html').map((f) => read('templates', f)).join('\n')
const modules = files('src/ts', '.ts').map((f) => read('src/ts', f)).join('\n')
const gosource = files('.', '.go').filter((f) => !f.endsWith('_test.go')).map((f) => read(f)).join('\n')
const inner = (svg) => svg.replace(/<!--[\s\S]*?-->/g, '').replace(/^[\s\S]*?<svg[^>]*>/, '').replace(/<\/svg>\s*$/, '').replace(/<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*\/>/, '').replace(/\s*\n\s*/g, '')
const names = new Set([...(templates + modules + gosource).matchAll(/\bi-([a-z][a-z0-9-]+)/g)].map((m) => m[1]))
let symbols = ''
for (const n of [...names].sort()) {
  if (n === '20') continue // a size, not an icon
  symbols += `<symbol id="i-${n}" viewBox="0 0 24 24">${inner(read('node_modules/@tabler/icons/icons/outline', n + '.svg'))}</symbol>`
}
for (const f of files('src/icons', '.svg')) {
  const svg = read('src/icons', f)
  symbols += `<symbol id="${basename(f, '.svg')}" viewBox="${/viewBox="([^"]+)"/.exec(svg)[1]}">${inner(svg)}</symbol>`
}
put('icons.svg', `<svg xmlns="http://www.w3.org/2000/svg">${symbols}</svg>`)
put('favicon.svg', read('src/icons', 'logo.svg').replace('<svg ', '<svg color="#0a626e" '))

// Tabler brings 640 kB of rules, we use a few of them: a rule stays when every class in one of its
// selectors stands in a template or module.
const used = new Set(['is-invalid', 'modal-open'])
for (const m of (templates.replace(/\{\{.*?\}\}/g, ' ') + modules + gosource).matchAll(/class(?:Name|List)?[^"'`\n]*["'`]([^"'`]*)["'`]/g)) {
  for (const c of m[1].split(/\s+/)) used.add(c)
}
function rules(css) {
  const list = []
  let depth = 0, start = 0, open = 0, quote = ''
  for (let i = 0; i < css.length; i++) {
    const c = css[i]
    if (quote) { if (c === '\\') i++; else if (c === quote) quote = ''; continue }
    if (c === '"' || c === "'") quote = c
    else if (c === '{') { if (depth++ === 0) open = i }
    else if (c === '}') { if (--depth === 0) { list.push([css.slice(start, open).trim(), css.slice(open + 1, i)]); start = i + 1 } }
    else if (c === ';' && depth === 0) start = i + 1 // @charset, @import
  }
  return list
}
// split a selector list at its top-level commas
function selectors(s) {
  const list = []
  let depth = 0, start = 0
  for (let i = 0; i < s.length; i++) {
    if ('(['.includes(s[i])) depth++
    else if (')]'.includes(s[i])) depth--
    else if (s[i] === ',' && depth === 0) { list.push(s.slice(start, i).trim()); start = i + 1 }
  }
  list.push(s.slice(start).trim())
  return list
}
function purge(css) {
  let kept = ''
  for (const [head, body] of rules(css)) {
    if (head.startsWith('@media') || head.startsWith('@supports')) {
      const inside = purge(body)
      if (inside && !head.includes('print')) kept += `${head}{${inside}}`
    } else if (!head.startsWith('@')) {
      const alive = selectors(head).filter((s) => !/[[.]data-bs-theme-|:root\[/.test(s) && [...s.matchAll(/\.([A-Za-z_][\w-]*)/g)].every((m) => used.has(m[1])))
      if (alive.length) kept += `${alive.join(',')}{${body}}`
    }
  }
  return kept
}
// The theme "auto" follows the system: each rule of the dark theme once more, inside a media query.
function follow(css) {
  let all = ''
  for (const [head, body] of rules(css)) {
    if (head.startsWith('@media') || head.startsWith('@supports')) { all += `${head}{${follow(body)}}`; continue }
    all += `${head}{${body}}`
    const dark = head.startsWith('@') ? [] : selectors(head).filter((s) => /\[data-bs-theme="?dark"?\]/.test(s) && !/"?light"?\]/.test(s))
    if (dark.length) all += `@media (prefers-color-scheme: dark){${dark.map((s) => s.replace(/\[data-bs-theme="?dark"?\]/g, '[data-bs-theme="auto"]')).join(',')}{${body}}}`
  }
  return all
}
// Pictures inside the style sheet become files, so that the policy need not allow data: addresses.
function lift(css) {
  return css.replace(/url\((["']?)data:image\/svg\+xml[;,]([\s\S]*?)\1\)/g, (_, _q, data) => {
    const svg = decodeURIComponent(data.replace(/^(charset=utf-?8,|utf8,)/i, ''))
    const name = `shape-${createHash('sha256').update(svg).digest('hex').slice(0, 6)}.svg`
    if (!manifest[name]) put(name, svg)
    return `url("/assets/${manifest[name]}")`
  })
}
async function style(name, parts) {
  const css = parts.join('\n').replace(/\/\*[\s\S]*?\*\//g, '')
  const { code } = await esbuild.transform(lift(follow(css)), { loader: 'css', minify: true, target: 'es2022' })
  put(name, code)
}
const tabler = purge(read('node_modules/@tabler/core/dist/css/tabler.min.css').replace(/\/\*[\s\S]*?\*\//g, ''))
// traybell.css and portal.css first; pages with a file of their own follow
const own = files('src/css', '.css').filter((f) => !['traybell.css', 'portal.css', 'console.css'].includes(f))
await style('portal.css', [tabler, read('src/css/traybell.css'), read('src/css/portal.css'), ...own.map((f) => read('src/css', f))])
await style('console.css', [read('node_modules/@xterm/xterm/css/xterm.css'), read('src/css/console.css')])

for (const entry of ['portal', 'console']) {
  const r = await esbuild.build({
    entryPoints: [join(here, 'src/ts', entry + '.ts')], bundle: true, minify: true, write: false,
    format: 'esm', target: 'es2022', legalComments: 'eof', logLevel: 'warning',
  })
  put(entry + '.js', r.outputFiles[0].text)
}

mkdirSync(dist, { recursive: true })
for (const f of readdirSync(dist)) if (f !== '.keep') rmSync(join(dist, f), { recursive: true })
let total = 0
for (const [name, body] of Object.entries(out)) {
  const gz = gzipSync(body, { level: 9 })
  total += gz.length
  writeFileSync(join(dist, name + '.gz'), gz)
}
writeFileSync(join(dist, 'manifest.json'), JSON.stringify(manifest, null, 1) + '\n')
console.log(`assets: ${Object.keys(out).length} files, ${Math.round(total / 1024)} kB gzipped`)
