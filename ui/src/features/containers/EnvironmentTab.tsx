import { useQuery } from '@tanstack/react-query'
import { Button } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container } from '@/api/model'
import { imageQuery } from '@/api/queries'
import { CopyButton } from '@/shared/ui/CopyButton'
import { Section } from '@/shared/ui/Page'

interface Variable {
  name: string
  value: string
  from: 'app' | 'image'
}

/** The variables that its processes see: the image's, with the app's own over them. Values may be secrets, so they are covered at first. */
export default function EnvironmentTab({ container }: { container: Container }) {
  const { t } = useTranslation()
  const image = useQuery({ ...imageQuery(container.spec.imageDigest || container.spec.image), retry: false })
  const [shown, setShown] = useState(false)
  const variables = useMemo(() => {
    const byName = new Map<string, Variable>()
    for (const { name, value } of image.data?.config?.env ?? []) byName.set(name, { name, value: value ?? '', from: 'image' })
    for (const { name, value } of container.spec.env ?? []) byName.set(name, { name, value: value ?? '', from: 'app' })
    return [...byName.values()].sort((a, b) => a.name.localeCompare(b.name))
  }, [container.spec.env, image.data])
  return (
    <Section
      title={t('containers.variables', { count: variables.length })}
      extra={
        variables.length > 0 && (
          <>
            <Button size="small" aria-pressed={shown} onClick={() => setShown(!shown)}>
              {shown ? t('containers.hideValues') : t('containers.showValues')}
            </Button>
            <CopyButton text={variables.map(({ name, value }) => `${name}=${value}`).join('\n')} label={t('containers.copyEnv')} />
          </>
        )
      }
      flush
    >
      {variables.length === 0 ? (
        <p className="sk-muted sk-section-body">{t('containers.noVariables')}</p>
      ) : (
        <table className="sk-env">
          <thead>
            <tr>
              <th>{t('deploy.envName')}</th>
              <th>{t('deploy.envValue')}</th>
              <th>{t('containers.from')}</th>
            </tr>
          </thead>
          <tbody>
            {variables.map(({ name, value, from }) => (
              <tr key={name}>
                <td>{name}</td>
                <td>{shown ? value : <span aria-label={t('containers.covered')} role="img">••••••</span>}</td>
                <td>{t(`containers.fromWhere.${from}`)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  )
}
