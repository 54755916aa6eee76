import { useQuery } from '@tanstack/react-query'
import { Alert, Button, Input, Segmented, Select, Skeleton, Tabs } from 'antd'
import { useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { asProblem } from '@/api/problem'
import { sessionQuery } from '@/api/queries'
import { registryQuery, useCreateToken, useTenantInView } from '@/api/registry'
import { loginLine, loginWithToken, pullLine, pushClients, pushLines, type PushClient } from '@/shared/lib/commands'
import { downloadText } from '@/shared/lib/download'
import { commandLine } from '@/shared/lib/shell'
import '@/shared/ui/artifacts.css'
import { CodeLines } from '@/shared/ui/CodeLines'
import { CopyButton } from '@/shared/ui/CopyButton'
import { DownloadOutlined, PlusOutlined } from '@/shared/ui/icons'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { TokenDialog, tokenRoles } from '@/shared/ui/TokenDialog'

// The client and host that a person works with are the same on every page, so the choice is kept for them all.
const choice: { client: PushClient; host: string; listeners: Set<() => void> } = { client: 'docker', host: '', listeners: new Set() }

function choose(next: { client?: PushClient; host?: string }) {
  Object.assign(choice, next)
  for (const listener of choice.listeners) listener()
}

function subscribe(listener: () => void) {
  choice.listeners.add(listener)
  return () => choice.listeners.delete(listener)
}

function useChoice(hosts: string[]): { client: PushClient; host: string } {
  const client = useSyncExternalStore(subscribe, () => choice.client)
  const host = useSyncExternalStore(subscribe, () => choice.host)
  return { client, host: hosts.includes(host) ? host : (hosts[0] ?? '') }
}

function Choosers({ client, host, hosts }: { client: PushClient; host: string; hosts: string[] }) {
  const { t } = useTranslation()
  return (
    <div className="sk-toolbar">
      <Segmented<PushClient> aria-label={t('guide.client')} value={client} onChange={(next) => choose({ client: next })} options={pushClients.map((each) => ({ value: each, label: each }))} />
      <Select aria-label={t('guide.host')} style={{ minWidth: 220 }} value={host} onChange={(next) => choose({ host: next })} options={hosts.map((each) => ({ value: each, label: each }))} />
    </div>
  )
}

/** The lines that fetch or run one image; how to trust and sign in is told with the repository. */
export function PullGuide({ path, reference, name, more }: { path: string; reference: string; name?: string; more: string }) {
  const { t } = useTranslation()
  const registry = useQuery(registryQuery)
  const hosts = registry.data?.hosts ?? []
  const { client, host } = useChoice(hosts)
  if (registry.isPending) return <Skeleton active title={false} />
  if (!host) return registry.isError ? <ProblemAlert problem={asProblem(registry.error)} retry={() => void registry.refetch()} /> : <Alert type="warning" showIcon title={t('guide.noHost')} />
  return (
    <div className="sk-stack">
      <Choosers client={client} host={host} hosts={hosts} />
      <CodeLines lines={[pullLine(client, host, path, reference)]} label={t('guide.pull')} />
      <p className="sk-note">
        <Link to={more}>{t('guide.first')}</Link>
      </p>
      {name && (
        <>
          <p className="sk-note">{t('guide.deploy')}</p>
          <CodeLines lines={[commandLine('skerry', 'run', '-d', name)]} label={t('guide.deploy')} />
        </>
      )}
    </div>
  )
}

/** What to run to bring an image here with the tools one has: trust, sign in, push (or pull where pushing is not allowed). */
export function PushGuide({ path, writable }: { path: string; writable: boolean }) {
  const { t } = useTranslation()
  const registry = useQuery(registryQuery)
  const session = useQuery(sessionQuery)
  const tenant = useTenantInView()
  const { client, host } = useChoice(registry.data?.hosts ?? [])
  const [tag, setTag] = useState('1.0')
  const [making, setMaking] = useState(false)
  const create = useCreateToken()
  if (registry.isPending) return <Skeleton active title={false} />
  if (!registry.data) return <ProblemAlert problem={asProblem(registry.error)} retry={() => void registry.refetch()} />
  const { hosts, trust, caCertificate, caFingerprint } = registry.data
  if (!host) return <Alert type="warning" showIcon title={t('guide.noHost')} />
  const user = session.data?.name ?? 'USER'
  return (
    <div className="sk-stack">
      <Choosers client={client} host={host} hosts={hosts} />
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
              defaultActiveKey={trust.some((lines) => lines.client === client) ? client : 'system'}
              key={client}
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
                <Input size="small" style={{ width: 160 }} prefix={<span className="sk-muted">{t('tag.tag')}</span>} aria-label={t('tag.tag')} value={tag} onChange={(event) => setTag(event.target.value)} spellCheck={false} />
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
            <CodeLines lines={[pullLine(client, host, path, tag.trim() || '1.0')]} label={t('guide.pull')} />
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
