import { useQuery } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { useLocation } from 'react-router'
import { quorumQuery } from '@/api/queries'

/** The same page at the other members, for whoever looks at one that is cut off: a member tells of them even then. */
export function OtherNodes() {
  const { t } = useTranslation()
  const { pathname, search } = useLocation()
  const quorum = useQuery(quorumQuery)
  const others = quorum.data?.members.filter(({ address }) => address && new URL(`https://${address}`).hostname !== location.hostname) ?? []
  if (others.length === 0) return null
  return (
    <span className="sk-others">
      {t('reach.others')}
      {others.map(({ nodeId, name, address }) => (
        <a key={nodeId} href={`https://${address}${pathname}${search}`} title={address}>
          {name}
        </a>
      ))}
    </span>
  )
}
