/** What a user agent is: browser and system by name, as far as it says; they are shown, never relied upon. */
export function deviceOf(userAgent: string | undefined): { program: string; system: string } {
  const text = userAgent ?? ''
  const find = (pairs: [RegExp, string][]) => pairs.find(([pattern]) => pattern.test(text))?.[1] ?? ''
  const program =
    find([
      [/\bEdgA?\//, 'Edge'],
      [/\bOPR\//, 'Opera'],
      [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
      [/\bMicroMessenger\//, 'WeChat'],
      [/\bChrom(e|ium)\/|\bCriOS\//, 'Chrome'],
      [/\bSafari\//, 'Safari'],
    ]) || (/^[\w.-]+/.exec(text)?.[0] ?? '')
  const system = find([
    [/iPhone|iPad/, 'iOS'],
    [/Android/, 'Android'],
    [/Windows/, 'Windows'],
    [/Mac OS X|Macintosh/, 'macOS'],
    [/CrOS/, 'ChromeOS'],
    [/Linux/, 'Linux'],
  ])
  return { program, system }
}
