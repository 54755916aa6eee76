import { useQuery } from '@tanstack/react-query'
import { Button, Collapse, Form, InputNumber, Modal, Radio, Select } from 'antd'
import { useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { JoinTokenCreated, JoinTokenInput } from '@/api/model'
import { asProblem } from '@/api/problem'
import { environmentsQuery, nodesQuery } from '@/api/queries'
import { formatDuration } from '@/shared/lib/format'
import { usePreferences } from '@/shared/lib/preferences'
import { commandLine, curl } from '@/shared/lib/shell'
import { CodeLines } from '@/shared/ui/CodeLines'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Health, NodeStatus } from './NodeStatus'
import { joinTokensQuery, useCreateJoinToken, useRevokeJoinToken } from './queries'

/** What a token may last, in seconds, and how the command line writes it. */
const spans = [
  { seconds: 900, text: '15m' },
  { seconds: 3_600, text: '1h' },
  { seconds: 86_400, text: '24h' },
  { seconds: 604_800, text: '168h' },
] as const

interface Values {
  role: 'member' | 'worker'
  environment: string
  ttl: number
  uses: number | null
}

/** Makes a join token and shows the line to paste; then the node is seen to arrive. */
export function AddNodeDialog({ members, onClose }: { members: number; onClose: () => void }) {
  const [made, setMade] = useState<JoinTokenCreated | null>(null)
  return made ? <Waiting made={made} onClose={onClose} /> : <Wish members={members} onMade={setMade} onClose={onClose} />
}

function Wish({ members, onMade, onClose }: { members: number; onMade: (made: JoinTokenCreated) => void; onClose: () => void }) {
  const { t } = useTranslation()
  const [form] = Form.useForm<Values>()
  const values = Form.useWatch([], form) as Values | undefined
  const environments = useQuery(environmentsQuery).data?.items ?? []
  const create = useCreateJoinToken()
  // The first hosts make the cluster safe; later ones most often only run containers.
  const initial: Values = { role: members < 3 ? 'member' : 'worker', environment: '', ttl: 3_600, uses: 1 }
  const inputOf = ({ role, environment, ttl, uses }: Values): JoinTokenInput => ({ role, environment: environment || undefined, ttlSeconds: ttl, uses: uses ?? 1 })
  const shown = values?.role === undefined ? initial : values
  const environment = environments.find(({ id }) => id === shown.environment)?.name
  const ttl = spans.find(({ seconds }) => seconds === shown.ttl)?.text ?? '1h'
  return (
    <Modal open title={t('join.title')} okText={t('join.submit')} cancelText={t('action.cancel')} confirmLoading={create.isPending} onCancel={onClose} onOk={() => form.submit()}>
      <ProblemAlert problem={create.isError ? asProblem(create.error) : null} />
      <Form form={form} layout="vertical" requiredMark={false} disabled={create.isPending} initialValues={initial} onFinish={(given: Values) => create.mutate(inputOf(given), { onSuccess: onMade })}>
        <Form.Item name="role" label={t('join.role')} extra={t(`join.roleHelp.${shown.role}`)}>
          <Radio.Group options={(['member', 'worker'] as const).map((role) => ({ value: role, label: t(`nodes.role.${role}`) }))} />
        </Form.Item>
        {environments.length > 1 && (
          <Form.Item name="environment" label={t('join.environment')} extra={t('join.environmentHelp')}>
            <Select options={[{ value: '', label: t('join.environmentDefault') }, ...environments.map(({ id, name }) => ({ value: id, label: name }))]} />
          </Form.Item>
        )}
        <div className="sk-row">
          <Form.Item name="ttl" label={t('join.ttl')}>
            <Select options={spans.map(({ seconds, text }) => ({ value: seconds, label: t(`join.spans.${text}`) }))} />
          </Form.Item>
          <Form.Item name="uses" label={t('join.uses')} extra={t('join.usesHelp')} rules={[{ required: true, message: t('join.usesMissing') }]}>
            <InputNumber min={1} max={1000} precision={0} style={{ width: '100%' }} />
          </Form.Item>
        </div>
      </Form>
      <FoldedSameAs
        cli={commandLine('skerry', 'token', 'create', '--role', shown.role, ...(environment ? ['--environment', environment] : []), '--ttl', ttl, '--uses', shown.uses ?? 1)}
        api={curl({ method: 'POST', path: '/join-tokens', json: inputOf(shown) })}
      />
    </Modal>
  )
}

function Waiting({ made: { token, commands }, onClose }: { made: JoinTokenCreated; onClose: () => void }) {
  const { t } = useTranslation()
  const nodes = useQuery(nodesQuery)
  const tokens = useQuery({ ...joinTokensQuery, refetchInterval: 3_000 })
  const revoke = useRevokeJoinToken()
  const present = tokens.data?.items.find(({ id }) => id === token.id) ?? token
  // Whoever was not there when the token was made has come since.
  const [known] = useState(() => new Set(nodes.data?.items.map(({ id }) => id)))
  const arrived = (nodes.data?.items ?? []).filter(({ id }) => !known.has(id))
  const left = useSecondsTo(present.expiresAt)
  const { language } = usePreferences()
  const usable = present.state === 'usable' && left > 0
  const [best, ...others] = commands
  return (
    <Modal
      open
      width={640}
      title={t('join.waitTitle', { role: t(`nodes.role.${token.role}`) })}
      onCancel={onClose}
      mask={{ closable: false }}
      footer={
        <div className="sk-dialog-foot">
          <Button danger type="text" disabled={!usable} loading={revoke.isPending} onClick={() => revoke.mutate(token.id)}>
            {t('join.revokeThis')}
          </Button>
          <span>
            <Button type="primary" onClick={onClose}>
              {t('join.done')}
            </Button>
          </span>
        </div>
      }
    >
      <div className="sk-stack">
        <ProblemAlert problem={revoke.isError ? asProblem(revoke.error) : null} />
        <p>{t('join.paste')}</p>
        {best && <CodeLines lines={[best]} label={t('join.line')} />}
        {others.length > 0 && (
          <Collapse
            ghost
            size="small"
            className="sk-join-others"
            items={[{ key: 'others', label: t('join.others', { count: others.length }), children: <div className="sk-stack">{others.map((line, i) => <CodeLines key={line} lines={[line]} label={t('join.otherLine', { number: i + 2 })} />)}</div> }]}
          />
        )}
        <p className="sk-muted sk-number sk-join-state">
          <span>{usable ? t('join.expires', { for: formatDuration(left, language) }) : t(`join.state.${present.state === 'usable' ? 'expired' : present.state}`)}</span>
          <span>{t('join.used', { used: present.used, count: present.uses })}</span>
        </p>
        <div className="sk-join-arrivals" role="status" aria-label={t('join.arrivals')}>
          {arrived.length === 0 ? (
            usable ? (
              <p className="sk-join-wait">
                <span className="sk-status sk-status-starting" style={{ color: 'var(--sk-blue)' }}>
                  <span className="sk-status-dot" aria-hidden />
                </span>
                {t('join.waiting')}
              </p>
            ) : (
              <p className="sk-muted">{t('join.nobody')}</p>
            )
          ) : (
            <ul className="sk-plain-list">
              {arrived.map((node) => (
                <li key={node.id}>
                  <NodeStatus node={node} quiet />
                  <Link className="sk-name sk-grow" to={`/nodes/${encodeURIComponent(node.name)}`} onClick={onClose}>
                    {node.name}
                  </Link>
                  <span className="sk-muted sk-number">{node.status.address}</span>
                  <Health node={node} />
                </li>
              ))}
            </ul>
          )}
        </div>
      </div>
    </Modal>
  )
}

/** The whole seconds until a moment, counted down; 0 once it has come. */
function useSecondsTo(at: string): number {
  const then = Date.parse(at)
  const [now, setNow] = useState(() => Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  return Math.max(0, Math.ceil((then - now) / 1000))
}
