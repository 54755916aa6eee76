import type { ReactNode } from 'react'
import { Link } from 'react-router'

/** A sentence about an object, whose name leads to it. The name is put in front where the sentence does not hold it. */
export function Sentence({ object, message, to }: { object?: string; message: string; to?: string }): ReactNode {
  if (!object) return message
  const name = to ? <Link to={to}>{object}</Link> : <strong>{object}</strong>
  const at = message.search(new RegExp(`(?<![\\w-])${object.replace(/[^\w-]/g, '\\$&')}(?![\\w-])`))
  if (at < 0) return <>{name} {message}</>
  return (
    <>
      {message.slice(0, at)}
      {name}
      {message.slice(at + object.length)}
    </>
  )
}
