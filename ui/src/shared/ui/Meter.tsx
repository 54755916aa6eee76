/** A measured value against its limit: the number with its unit and limit, and a thin bar. Without a limit there is no bar. */
export function Meter({ label, value, limit, format, hideLimit }: { label: string; value: number; limit?: number; format: (value: number) => string; hideLimit?: boolean }) {
  const share = limit && limit > 0 ? Math.min(1, value / limit) : undefined
  const tone = share === undefined ? 'accent' : share > 0.95 ? 'red' : share > 0.8 ? 'orange' : 'accent'
  return (
    <div className="sk-meter">
      <div className="sk-meter-head">
        <span className="sk-muted">{label}</span>
        <span className="sk-number">
          {format(value)}
          {limit && !hideLimit ? <span className="sk-muted"> / {format(limit)}</span> : null}
        </span>
      </div>
      <div
        className="sk-meter-track"
        role={share === undefined ? undefined : 'meter'}
        aria-label={share === undefined ? undefined : label}
        aria-valuemin={share === undefined ? undefined : 0}
        aria-valuemax={share === undefined ? undefined : 100}
        aria-valuenow={share === undefined ? undefined : Math.round(share * 100)}
      >
        {share !== undefined && <div style={{ width: `${share * 100}%`, background: `var(--sk-${tone})` }} />}
      </div>
    </div>
  )
}
