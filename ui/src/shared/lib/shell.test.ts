import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { commandLine, curl, shellQuote } from './shell'

describe('shell', () => {
  it.each(['plain', 'two words', `it's`, '$HOME `id`', 'a\nb', '', '--flag=x', '"', '中文', '!x;rm'])('reads %j back unchanged', (word) => {
    expect(execFileSync('/bin/sh', ['-c', `printf %s ${shellQuote(word)}`], { encoding: 'utf8' })).toBe(word)
  })

  it('leaves out what is not said', () => {
    expect(commandLine('skerry', 'run', false, undefined, '-n', 'my app', 3)).toBe(`skerry run -n 'my app' 3`)
  })

  it('makes calls that curl takes', () => {
    expect(curl({ path: '/apps' }, 'https://node:7443')).toBe('curl https://node:7443/api/v1/apps \\\n  -H "Authorization: Bearer $SKERRY_TOKEN"')
    expect(curl({ method: 'POST', path: '/apps?wait=60', json: { name: `it's` } }, 'https://node:7443')).toBe(
      `curl -X POST 'https://node:7443/api/v1/apps?wait=60' \\\n  -H "Authorization: Bearer $SKERRY_TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '{\n  "name": "it'\\''s"\n}'`,
    )
    expect(curl({ method: 'POST', path: '/image-imports', file: 'my app.tar' }, 'https://n')).toContain(`-T 'my app.tar'`)
  })
})
