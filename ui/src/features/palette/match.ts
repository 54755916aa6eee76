/** Something that the palette offers: a page, an action, an object. */
export interface Offer {
  id: string
  label: string
  /** What stands beside the label, muted. */
  hint?: string
  /** More words under which it is found; in English, whatever the language of the console. */
  keywords?: string
  /** Where choosing it leads, or what it does. */
  to?: string
  run?: () => void
}

const fold = (text: string) => text.toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '')

/**
 * How well a text answers what was typed: higher is better, 0 is not at all. Whole, then beginning, then beginning of a
 * word, then somewhere, then the letters in their order ("ndsh" finds "new deploy shop").
 */
export function score(text: string, typed: string): number {
  const at = fold(text)
  const wanted = fold(typed.trim())
  if (wanted === '') return 1
  if (at === wanted) return 100
  if (at.startsWith(wanted)) return 80
  const found = at.indexOf(wanted)
  if (found > 0) return /[\s\-_/.:]/.test(at.charAt(found - 1)) ? 60 : 40
  const words = wanted.split(/\s+/)
  if (words.length > 1 && words.every((word) => at.includes(word))) return 30
  // Letters in their order say something only when they are several and the text is a label, not an id.
  if (wanted.length < 3 || at.length > 40) return 0
  let from = 0
  for (const letter of wanted.replace(/\s/g, '')) {
    from = at.indexOf(letter, from) + 1
    if (from === 0) return 0
  }
  return 10
}

/** The offers that answer what was typed, the best first; of equals the order stays. */
export function rank(offers: readonly Offer[], typed: string): Offer[] {
  return offers
    .map((offer, i) => ({ offer, i, points: Math.max(score(offer.label, typed), offer.keywords ? score(offer.keywords, typed) * 0.9 : 0) }))
    .filter(({ points }) => points > 0)
    .sort((a, b) => b.points - a.points || a.i - b.i)
    .map(({ offer }) => offer)
}

/** The places lately gone to by the palette, newest first, kept for this person in this browser. */
const keptRecent = 6

export function readRecent(owner: string): Offer[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(`skerry.recent.${owner}`) ?? '[]')
    if (!Array.isArray(kept)) return []
    return kept.filter((offer): offer is Offer => typeof offer?.id === 'string' && typeof offer.label === 'string' && typeof offer.to === 'string' && offer.to.startsWith('/')).slice(0, keptRecent)
  } catch {
    return []
  }
}

export function addRecent(owner: string, { id, label, hint, to }: Offer) {
  if (!to) return
  const next = [{ id, label, hint, to }, ...readRecent(owner).filter((offer) => offer.id !== id)].slice(0, keptRecent)
  try {
    localStorage.setItem(`skerry.recent.${owner}`, JSON.stringify(next))
  } catch {
    // Storage refused: nothing is remembered.
  }
}
