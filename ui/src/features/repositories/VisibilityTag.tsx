import { Tag } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Visibility } from '@/api/model'

/** Who may read a repository, in a word; the sentence is its tooltip. */
export function VisibilityTag({ visibility }: { visibility: Visibility | undefined }) {
  const { t } = useTranslation()
  const shown = visibility ?? 'tenant'
  return (
    <Tag color={shown === 'public' ? 'blue' : undefined} title={t(`visibility.${shown}Help`)}>
      {t(`visibility.${shown}`)}
    </Tag>
  )
}

export const visibilities = ['tenant', 'public', 'private'] as const
