/** Writes a word so that a POSIX shell reads it back unchanged. */
export function shellQuote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** A command of words, each quoted where it must be; what is undefined or false is left out. */
export function commandLine(...words: (string | number | undefined | false)[]): string {
  return words
    .filter((word): word is string | number => word !== undefined && word !== false)
    .map((word) => shellQuote(String(word)))
    .join(' ')
}

export interface ApiCall {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path below /api/v1, its parts encoded already, with its query. */
  path: string
  /** Sent as JSON. */
  json?: unknown
  /** Name of a file to send as it is. */
  file?: string
  /** Name of a file to write the answer to. */
  output?: string
}

/** The call of an operation with curl: the token comes from the environment, so that no secret is copied along. */
export function curl({ method = 'GET', path, json, file, output }: ApiCall, origin: string = location.origin): string {
  const verb = method === 'GET' ? '' : `-X ${method} `
  const lines = [`curl ${verb}${shellQuote(`${origin}/api/v1${path}`)}`, `-H "Authorization: Bearer $SKERRY_TOKEN"`]
  if (json !== undefined) lines.push(`-H 'Content-Type: application/json'`, `-d ${shellQuote(JSON.stringify(json, null, 2))}`)
  if (file !== undefined) lines.push(`-T ${shellQuote(file)}`)
  if (output !== undefined) lines.push(`-o ${shellQuote(output)}`)
  return lines.join(' \\\n  ')
}

/** Splits a command into words as a shell does: spaces part, quotes hold together, a backslash takes the next character. */
export function splitWords(text: string): string[] {
  const words: string[] = []
  let word = ''
  let inWord = false
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i)
    if (quote) {
      if (c === quote) quote = ''
      else if (c === '\\' && quote === '"' && i + 1 < text.length) word += text.charAt(++i)
      else word += c
    } else if (c === '"' || c === "'") {
      quote = c
      inWord = true
    } else if (c === '\\' && i + 1 < text.length) {
      word += text.charAt(++i)
      inWord = true
    } else if (/\s/.test(c)) {
      if (inWord) words.push(word)
      word = ''
      inWord = false
    } else {
      word += c
      inWord = true
    }
  }
  if (inWord) words.push(word)
  return words
}
