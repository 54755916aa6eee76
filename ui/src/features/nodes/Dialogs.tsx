import { Checkbox, Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container, Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { nodeHealth } from '@/api/status'
import { commandLine, curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { useNodeAction, useRemoveNode } from './queries'

/** The path of an operation on a node, for the equivalents. */
const at = (node: Node, rest = '') => `/nodes/${encodeURIComponent(node.name)}${rest}`

const bound = (container: Container) => container.spec.mounts?.some(({ type }) => type === 'volume') ?? false

/** Says what draining does before it begins; the page then shows how it goes on. */
export function DrainDialog({ node, containers, onClose }: { node: Node; containers: Container[] | undefined; onClose: () => void }) {
  const { t } = useTranslation()
  const act = useNodeAction()
  const waiting = containers?.filter(bound).length ?? 0
  return (
    <Modal
      open
      title={t('nodes.drainAsk', { name: node.name })}
      okText={t('nodes.drain')}
      cancelText={t('action.cancel')}
      confirmLoading={act.isPending}
      onCancel={onClose}
      onOk={() => act.mutate({ node, action: 'drain' }, { onSuccess: onClose })}
      footer={(buttons) => (
        <div className="sk-dialog-foot">
          <SameAs compact cli={commandLine('skerry', 'node', 'drain', node.name)} api={curl({ method: 'POST', path: at(node, '/drain') })} />
          <span>{buttons}</span>
        </div>
      )}
    >
      <ProblemAlert problem={act.isError ? asProblem(act.error) : null} />
      <div className="sk-stack">
        <p>{containers ? t('nodes.drainCount', { count: containers.length }) : t('nodes.drainAll')}</p>
        <ul className="sk-plan">
          <li>{t('nodes.drainOrder')}</li>
          {waiting > 0 && <li>{t('nodes.drainVolumes', { count: waiting })}</li>}
          <li>{t('nodes.drainNew')}</li>
        </ul>
      </div>
    </Modal>
  )
}

/** Asks before a member's vote changes, with what it means. */
export function VoteDialog({ node, action, onClose }: { node: Node; action: 'promote' | 'demote'; onClose: () => void }) {
  const { t } = useTranslation()
  const act = useNodeAction()
  return (
    <Modal
      open
      title={t(`nodes.${action}Ask`, { name: node.name })}
      okText={t(`nodes.${action}`)}
      cancelText={t('action.cancel')}
      confirmLoading={act.isPending}
      onCancel={onClose}
      onOk={() => act.mutate({ node, action }, { onSuccess: onClose })}
      footer={(buttons) => (
        <div className="sk-dialog-foot">
          <SameAs compact cli={commandLine('skerry', 'node', action, node.name)} api={curl({ method: 'POST', path: at(node, `/${action}`) })} />
          <span>{buttons}</span>
        </div>
      )}
    >
      <ProblemAlert problem={act.isError ? asProblem(act.error) : null} />
      <p>{t(`nodes.${action}Help`)}</p>
    </Modal>
  )
}

/**
 * Removes a node for good. What still lives there stands in the way unless it is forced, and then the consequence is spelled
 * out in numbers and the name is asked for.
 */
export function RemoveNodeDialog({ node, containers, volumes, onClose, onRemoved }: { node: Node; containers: Container[]; volumes: string[]; onClose: () => void; onRemoved: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveNode()
  const [force, setForce] = useState(false)
  const inUse = containers.length > 0 || volumes.length > 0
  const problem = remove.isError ? asProblem(remove.error) : null
  return (
    <ConfirmDialog
      title={t('nodes.removeAsk', { name: node.name })}
      submit={t('nodes.remove')}
      typed={force ? node.name : undefined}
      pending={remove.isPending}
      problem={problem}
      blocked={inUse && !force}
      extra={<SameAs compact cli={commandLine('skerry', 'node', 'rm', node.name, force && '--force')} api={curl({ method: 'DELETE', path: at(node, force ? '?force=true' : '') })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate({ node, force }, { onSuccess: onRemoved })}
    >
      <p>{t('nodes.removeHelp')}</p>
      {inUse && !force && <p>{t('nodes.removeInUse', { containers: t('remove.containers', { count: containers.length }), volumes: t('nodes.volumes', { count: volumes.length }) })}</p>}
      {/* What the console has not seen (another tenant's) the server names in its refusal. */}
      {(inUse || nodeHealth(node) === 'down' || problem) && (
        <Checkbox checked={force} onChange={(event) => setForce(event.target.checked)}>
          {t('nodes.force')}
        </Checkbox>
      )}
      {force && (
        <ul className="sk-plan">
          {containers.length > 0 && <li>{t('nodes.forceContainers', { count: containers.length })}</li>}
          {volumes.length > 0 && <li>{t('nodes.forceVolumes', { count: volumes.length, names: volumes.join(', ') })}</li>}
          <li>{t('nodes.forceBack')}</li>
          {nodeHealth(node) === 'up' && <li>{t('nodes.forceUp')}</li>}
        </ul>
      )}
    </ConfirmDialog>
  )
}
