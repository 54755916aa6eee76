import { nameParts } from './paths'

/** A file's name as it is; what cannot be seen or turns text around stands as a sign, so that no name looks like another. */
export function FileName({ name }: { name: string }) {
  const parts = nameParts(name)
  return (
    <bdi className="sk-filename" title={parts.map(({ text }) => text).join('')}>
      {parts.map(({ text, sign }, i) => (sign ? <span key={i} className="sk-filesign">{text}</span> : text))}
    </bdi>
  )
}
