import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { en } from './en'
import { zh } from './zh'

type Tree = { [key: string]: string | Tree }

function flatten(tree: Tree, prefix = ''): Map<string, string> {
  const all = new Map<string, string>()
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === 'string') all.set(prefix + key, value)
    else for (const [inner, text] of flatten(value, `${prefix}${key}.`)) all.set(inner, text)
  }
  return all
}

const english = flatten(en)
const chinese = flatten(zh)
/** Keys as the code names them: plural forms are one key. */
const base = (key: string) => key.replace(/_(one|other)$/, '')

const src = join(import.meta.dirname, '../../..')
const code = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.tsx?$/.test(file) && !/\.test\.|__generated__|i18n[\\/](en|zh)(\.\w+)?\.ts/.test(file))
  .map((file) => readFileSync(join(src, file), 'utf8'))
  .join('\n')

/** Keys that the code names as they are, and beginnings of keys that it completes at run time (`status.${word}`). */
const named = new Set([...code.matchAll(/\bt\(\s*'([\w.]+)'/g)].map((match) => match[1] ?? ''))
const begun = new Set([...code.matchAll(/\bt\(\s*`([\w.]+\.)\$\{/g)].map((match) => match[1] ?? ''))

describe('catalogues', () => {
  it('hold every key that the code names', () => {
    expect(named.size).toBeGreaterThan(150)
    const keys = new Set([...english.keys()].map(base))
    expect([...named].filter((key) => !keys.has(key))).toEqual([])
    for (const beginning of begun) expect([...keys].some((key) => key.startsWith(beginning)), beginning).toBe(true)
  })

  it('hold no key that the code does not name', () => {
    const unused = [...english.keys()].map(base).filter((key) => !named.has(key) && ![...begun].some((beginning) => key.startsWith(beginning)))
    expect(unused).toEqual([])
  })

  it('have the same keys', () => {
    expect(new Set([...chinese.keys()].map(base))).toEqual(new Set([...english.keys()].map(base)))
  })

  it('fill the same blanks', () => {
    const blanks = (text: string | undefined) => new Set([...(text ?? '').matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]))
    for (const [key, text] of chinese) {
      const counterpart = english.get(key) ?? english.get(base(key))
      // A Chinese sentence may leave out a count that is always plural there, never name one that English lacks.
      for (const blank of blanks(text)) expect(blanks(counterpart).has(blank), `${key}: {{${blank}}}`).toBe(true)
    }
  })

  it('give English both plural forms', () => {
    for (const key of english.keys()) {
      if (key.endsWith('_one')) expect(english.has(`${base(key)}_other`), key).toBe(true)
      if (key.endsWith('_other')) expect(english.has(`${base(key)}_one`), key).toBe(true)
    }
  })
})

/** Blanks stand for names and numbers, so the rule of spaces holds around them too. */
const faults: [string, RegExp][] = [
  ['no space between Chinese and Latin', /[\p{Script=Han}][A-Za-z0-9]|[A-Za-z0-9][\p{Script=Han}]/u],
  ['no space between Chinese and a blank', /[\p{Script=Han}]\{\{|\}\}[\p{Script=Han}]/u],
  ['half-width punctuation after Chinese', /[\p{Script=Han}]\s*[,;:!?]/u],
  ['half-width full stop', /[\p{Script=Han}]\s*\.(\s|$)/u],
  ['half-width brackets around Chinese', /\([^)]*\p{Script=Han}|\p{Script=Han}[^(]*\)/u],
  ['space beside full-width punctuation', /\s[，。；：？！、（）]|[，。；：？！、（）]\s/u],
]

/** Blanks that are filled with Chinese text, not with a name or number, and so need no space. */
const filledWithChinese = /\{\{(services|containers)\}\}/g

describe('Chinese', () => {
  it.each(faults)('has nowhere: %s', (_, pattern) => {
    expect([...chinese].filter(([, text]) => pattern.test(text.replace(filledWithChinese, '容器'))).map(([key, text]) => `${key}: ${text}`)).toEqual([])
  })

  it('finds the faults that it looks for', () => {
    const wrong = ['共3个', '打开{{name}}', '确定吗?', '完成.', '容器(旧)', '好， 再来']
    for (const text of wrong) expect(faults.some(([, pattern]) => pattern.test(text)), text).toBe(true)
  })

  it('uses the nouns of the product', () => {
    const said = [...chinese.values()].join('')
    for (const wrong of ['节点', '镜像库', '应用程序', '持久卷', '存储卷', '实例', '集装箱']) expect(said.includes(wrong), wrong).toBe(false)
  })
})
