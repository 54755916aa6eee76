import { Button } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { countChanges, diffLines, folded } from '../lib/diff'

/** The difference of two texts, line by line, in one column. What is the same for long is folded until asked for. */
export function DiffView({ before, after, label }: { before: string; after: string; label: string }) {
  const { t } = useTranslation()
  const [whole, setWhole] = useState(false)
  const lines = useMemo(() => diffLines(before, after), [before, after])
  const { added, removed } = countChanges(lines)
  if (added + removed === 0) return <p className="sk-muted">{t('diff.none')}</p>
  const shown = whole ? lines : folded(lines)
  return (
    <div>
      <p className="sk-muted sk-diff-count">
        <span className="sk-diff-plus">+{added}</span> <span className="sk-diff-minus">−{removed}</span>
        {(whole || shown.length < lines.length) && (
          <Button size="small" type="link" onClick={() => setWhole(!whole)}>
            {whole ? t('diff.fold') : t('diff.whole')}
          </Button>
        )}
      </p>
      <div className="sk-diff" role="table" aria-label={label} tabIndex={0}>
        {shown.map((line, i) =>
          line.kind === 'fold' ? (
            <div key={i} role="row" className="sk-diff-fold">
              <span role="cell">{t('diff.folded', { count: line.count })}</span>
            </div>
          ) : (
            <div key={i} role="row" className={`sk-diff-line sk-diff-${line.kind}`}>
              <span role="cell" className="sk-diff-number" aria-hidden>
                {line.after ?? line.before}
              </span>
              <span role="cell" className="sk-diff-sign">
                {line.kind === 'added' ? '+' : line.kind === 'removed' ? '−' : ' '}
              </span>
              <code role="cell">{line.text || ' '}</code>
            </div>
          ),
        )}
      </div>
    </div>
  )
}
