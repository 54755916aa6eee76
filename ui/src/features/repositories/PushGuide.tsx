import { useQuery } from '@tanstack/react-query'
import { Alert, Button, Input, Segmented, Select, Skeleton, Tabs } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { asProblem } from '@/api/problem'
import { sessionQuery } from '@/api/queries'
import { registryQuery, useCreateToken, useTenantInView } from '@/api/registry'
import { loginLine, loginWithToken, pullLine, pushClients, pushLines, type PushClient } from '@/shared/lib/commands'
import { downloadText } from '@/shared/lib/download'
import '@/shared/ui/artifacts.css'
import { CodeLines } from '@/shared/ui/CodeLines'
import { CopyButton } from '@/shared/ui/CopyButton'
import { DownloadOutlined, PlusOutlined } from '@/shared/ui/icons'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { TokenDialog, tokenRoles } from '@/shared/ui/TokenDialog'

// The client and host that a person works with are the same on every page.
let lastClient: PushClient = 'docker'
let lastHost = ''

/** What to run to bring an image here with the tools one has: trust, sign in, push (or pull where pushing is not allowed). */
export function PushGuide({ path, writable, reference }: { path: string; writable: boolean; reference?: string }) {
  const { t } = useTranslation()
  const registry = useQuery(registryQuery)
  const session = useQuery(sessionQuery)
  const tenant = useTenantInView()
  const [client, setClient] = useState<PushClient>(lastClient)
  const [chosen, setChosen] = useState(lastHost)
  const [tag, setTag] = useState(reference ?? '1.0')
  const [making, setMaking] = useState(false)
  const create = useCreateToken()
  if (registry.isPending) return <Skeleton active title={false} />
  if (!registry.data) return <ProblemAlert problem={asProblem(registry.error)} retry={() => void registry.refetch()} />
  const { hosts, trust, caCertificate, caFingerprint } = registry.data
  const best = hosts[0]
  if (!best) return <Alert type="warning" showIcon title={t('guide.noHost')} />
  const host = hosts.includes(chosen) ? chosen : best
  const user = session.data?.name ?? 'USER'
  const present = client
  return (
    <div className="sk-stack">
      <div className="sk-toolbar">
        <Segmented<PushClient>
          aria-label={t('guide.client')}
          value={client}
          onChange={(next) => {
            lastClient = next
            setClient(next)
          }}
          options={pushClients.map((each) => ({ value: each, label: each }))}
        />
        <Select
          aria-label={t('guide.host')}
          style={{ minWidth: 220 }}
          value={host}
          onChange={(next) => {
            lastHost = next
            setChosen(next)
          }}
          options={hosts.map((each) => ({ value: each, label: each }))}
        />
      </div>
      <ol className="sk-guide">
        <li>
          <div className="sk-guide-body">
            <div className="sk-guide-head">
              <h3>{t('guide.trust')}</h3>
              <Button size="small" icon={<DownloadOutlined />} onClick={() => downloadText('skerry-ca.crt', caCertificate)}>
                {t('guide.downloadCa')}
              </Button>
            </div>
            <p className="sk-note">{t('guide.trustHelp')}</p>
            <Tabs
              size="small"
              defaultActiveKey={trust.some((lines) => lines.client === present) ? present : 'system'}
              key={present}
              items={trust.map((lines) => ({ key: lines.client, label: lines.client === 'system' ? t('guide.system') : lines.client, children: <CodeLines lines={lines.lines} label={t('guide.trustOf', { client: lines.client })} /> }))}
            />
            <p className="sk-note">
              {t('guide.fingerprint')} <span className="sk-fingerprint">{caFingerprint}</span> <CopyButton text={caFingerprint} />
            </p>
          </div>
        </li>
        <li>
          <div className="sk-guide-body">
            <div className="sk-guide-head">
              <h3>{t('guide.login')}</h3>
              <Button size="small" icon={<PlusOutlined />} onClick={() => setMaking(true)}>
                {t('token.create')}
              </Button>
            </div>
            <p className="sk-note">{t('guide.loginHelp')}</p>
            <CodeLines lines={[loginLine(client, host, user)]} label={t('guide.login')} />
          </div>
        </li>
        {writable && (
          <li>
            <div className="sk-guide-body">
              <div className="sk-guide-head">
                <h3>{t('guide.push')}</h3>
                <Input size="small" style={{ width: 160 }} addonBefore={t('tag.tag')} aria-label={t('tag.tag')} value={tag} onChange={(event) => setTag(event.target.value)} spellCheck={false} />
              </div>
              <CodeLines lines={pushLines(client, host, path, tag.trim() || '1.0')} label={t('guide.push')} />
            </div>
          </li>
        )}
        <li>
          <div className="sk-guide-body">
            <div className="sk-guide-head">
              <h3>{t('guide.pull')}</h3>
            </div>
            <CodeLines lines={[pullLine(client, host, path, reference ?? (tag.trim() || '1.0'))]} label={t('guide.pull')} />
          </div>
        </li>
      </ol>
      {making && (
        <TokenDialog
          roles={tokenRoles.filter((role) => role === 'developer' || role === 'viewer')}
          tenants={session.data?.tenants ?? []}
          initial={{ name: `${client}-${path.split('/').pop() ?? ''}`, role: 'developer', tenant: tenant?.id }}
          pending={create.isPending}
          problem={create.isError ? asProblem(create.error) : null}
          secret={create.data?.token}
          use={(secret) => [loginWithToken(client, host, user, secret)]}
          onSubmit={(wish) => create.mutate(wish)}
          onClose={() => {
            setMaking(false)
            create.reset()
          }}
        />
      )}
    </div>
  )
}
