import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { UsedBy } from '@/api/model'

/** Where an object that uses a volume is seen. */
export function userPath(user: UsedBy): string | undefined {
  if (user.kind === 'container') return `/containers/${encodeURIComponent(user.name)}`
  if (user.appName) return `/apps/${encodeURIComponent(user.appName)}`
  if (user.kind === 'app') return `/apps/${encodeURIComponent(user.name)}`
  return undefined
}

export const userName = (user: UsedBy) => (user.appName && user.appName !== user.name ? `${user.appName} / ${user.name}` : user.name)

/** Who uses a volume, each as a link. */
export function Users({ users }: { users: readonly UsedBy[] }) {
  const { t } = useTranslation()
  if (users.length === 0) return <span className="sk-muted">{t('volumes.unused')}</span>
  return (
    <span className="sk-ports">
      {users.map((user) => {
        const to = userPath(user)
        const key = `${user.kind} ${user.id} ${user.name}`
        return to ? (
          <Link key={key} to={to}>
            {userName(user)}
          </Link>
        ) : (
          <span key={key}>{userName(user)}</span>
        )
      })}
    </span>
  )
}
