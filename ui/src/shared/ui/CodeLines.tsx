import './artifacts.css'
import { CopyButton } from './CopyButton'

/** Lines for a shell, as they are, with a button that copies all of them. */
export function CodeLines({ lines, label }: { lines: string[]; label: string }) {
  return (
    <div className="sk-code">
      <pre tabIndex={0} aria-label={label}>
        {lines.join('\n')}
      </pre>
      <CopyButton text={lines.join('\n')} />
    </div>
  )
}
