import { Collapse } from 'antd'
import { useTranslation } from 'react-i18next'
import { SameAsPanel, type Equivalents } from './SameAs'

/** The equivalents of a form, folded: whoever fills it in sees the fields first. */
export function FoldedSameAs(equivalents: Equivalents) {
  const { t } = useTranslation()
  return <Collapse ghost size="small" items={[{ key: 'same', label: t('sameAs.title'), children: <SameAsPanel {...equivalents} /> }]} />
}
