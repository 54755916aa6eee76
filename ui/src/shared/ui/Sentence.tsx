import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { usePreferences } from '../lib/preferences'
import { say } from '../lib/sentences'

/**
 * A sentence of the server about an object, in the language of the console; the object's name leads to it. The name is put
 * in front where the sentence does not hold it, and the server's own words show on hover where they are not these.
 */
export function Sentence({ object, message, reason = '', to }: { object?: string; message: string; reason?: string; to?: string }): ReactNode {
  const { language } = usePreferences()
  const { text, original } = say(language, reason, message)
  const told = object ? linked(text, object, to) : text
  return original ? <span title={original}>{told}</span> : told
}

function linked(text: string, object: string, to: string | undefined): ReactNode {
  const name = to ? <Link to={to}>{object}</Link> : <strong>{object}</strong>
  const at = text.search(new RegExp(`(?<![\\w/.:@-])${object.replace(/[^\w-]/g, '\\$&')}(?![\\w/@-]|[.:]\\w)`))
  if (at < 0) return <>{name} {text}</>
  return (
    <>
      {text.slice(0, at)}
      {name}
      {text.slice(at + object.length)}
    </>
  )
}
