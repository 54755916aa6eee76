import { Skeleton } from 'antd'
import { useEffect, type ReactNode } from 'react'

/** A page: its title (also the document's), what stands beside the title, the actions, and the content. */
export function Page({ title, plainTitle, beside, actions, back, children }: { title: ReactNode; plainTitle: string; beside?: ReactNode; actions?: ReactNode; back?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${plainTitle} · Skerry`
  }, [plainTitle])
  return (
    <div className="sk-page">
      {back && <nav className="sk-crumb">{back}</nav>}
      <header className="sk-page-head">
        <div className="sk-page-title">
          <h1>{title}</h1>
          {beside}
        </div>
        {actions && <div className="sk-actions">{actions}</div>}
      </header>
      {children}
    </div>
  )
}

/** A titled block of a page. */
export function Section({ title, extra, children, flush }: { title?: ReactNode; extra?: ReactNode; children: ReactNode; flush?: boolean }) {
  return (
    <section className="sk-section">
      {(title || extra) && (
        <header className="sk-section-head">
          {title && <h2>{title}</h2>}
          {extra && <div className="sk-actions">{extra}</div>}
        </header>
      )}
      <div className={flush ? 'sk-section-flush' : 'sk-section-body'}>{children}</div>
    </section>
  )
}

/** Holds the place of a page that is being loaded. */
export function PageSkeleton() {
  return (
    <div className="sk-page" aria-busy="true">
      <Skeleton active title={{ width: 180 }} paragraph={{ rows: 6 }} />
    </div>
  )
}

/** Facts as label and value; as many columns as fit. */
export function Facts({ items }: { items: { label: string; value: ReactNode }[] }) {
  return (
    <dl className="sk-facts">
      {items.map(({ label, value }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
