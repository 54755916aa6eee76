import { Tag } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { formatBytes } from '../lib/format'
import { layerCommand, layerShares, packing, type LayerLike } from '../lib/layers'
import './artifacts.css'
import { Digest } from './Digest'
import { Facts } from './Page'

/** How an image runs, as its maker set it. */
export interface ConfigLike {
  architecture?: string
  os?: string
  author?: string
  entrypoint?: string[]
  command?: string[]
  env?: { name: string; value?: string }[]
  workingDir?: string
  user?: string
  exposedPorts?: string[]
  volumes?: string[]
  labels?: Record<string, string>
  stopSignal?: string
}

export interface UserLike {
  kind: string
  id: string
  name: string
  appName?: string
}

/** The layers from the bottom up: what made each, its size, and a bar that compares it with the largest. */
export function LayerList({ layers }: { layers: LayerLike[] }) {
  const { t } = useTranslation()
  if (layers.length === 0) return <p className="sk-muted sk-section-body">{t('artifact.noLayers')}</p>
  const shares = layerShares(layers)
  return (
    <ol className="sk-layers" aria-label={t('artifact.layers')}>
      {layers.map((layer, i) => {
        const { verb, text } = layerCommand(layer.createdBy)
        return (
          <li key={`${i}-${layer.digest}`}>
            <span className="sk-layer-number">{i + 1}</span>
            <span className="sk-layer-command">
              {verb && <strong>{verb}</strong>}
              {text ? <code>{text}</code> : <span className="sk-muted">{t('artifact.noHistory')}</span>}
            </span>
            <span className="sk-number sk-layer-size">{formatBytes(layer.sizeBytes)}</span>
            <div className="sk-layer-bar" aria-hidden>
              <div style={{ width: `${(shares[i] ?? 0) * 100}%` }} />
            </div>
            <span className="sk-layer-foot">
              <Digest value={layer.digest} />
              <span>{packing(layer.mediaType)}</span>
            </span>
          </li>
        )
      })}
    </ol>
  )
}

/** Entrypoint, command, user, ports and so on: what is not set is not shown. */
export function ConfigFacts({ config }: { config: ConfigLike }) {
  const { t } = useTranslation()
  const words = (list: string[] | undefined) => (list?.length ? <code>{list.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')}</code> : null)
  const facts = [
    { label: t('artifact.entrypoint'), value: words(config.entrypoint) },
    { label: t('artifact.command'), value: words(config.command) },
    { label: t('artifact.workingDir'), value: config.workingDir && <code>{config.workingDir}</code> },
    { label: t('artifact.user'), value: config.user && <code>{config.user}</code> },
    { label: t('artifact.ports'), value: config.exposedPorts?.length ? <span className="sk-tags">{config.exposedPorts.map((port) => <Tag key={port}>{port}</Tag>)}</span> : null },
    { label: t('artifact.volumes'), value: words(config.volumes) },
    { label: t('artifact.stopSignal'), value: config.stopSignal },
    { label: t('artifact.platform'), value: [config.os, config.architecture].filter(Boolean).join('/') },
    { label: t('artifact.author'), value: config.author },
  ].filter(({ value }) => value)
  if (facts.length === 0) return <p className="sk-muted">{t('artifact.noConfig')}</p>
  return <Facts items={facts} />
}

/** Names and values, each as plain text: they come from whoever made the image. */
export function Values({ values, none }: { values: [string, string][]; none: string }) {
  if (values.length === 0) return <p className="sk-muted sk-section-body">{none}</p>
  return (
    <dl className="sk-values">
      {values.flatMap(([name, value]) => [<dt key={`n ${name}`}>{name}</dt>, <dd key={`v ${name}`}>{value}</dd>])}
    </dl>
  )
}

/** Who uses an image, each leading to its app. */
export function UsedByList({ users }: { users: UserLike[] }) {
  const { t } = useTranslation()
  if (users.length === 0) return <p className="sk-muted">{t('artifact.unused')}</p>
  return (
    <ul className="sk-used">
      {users.map((user) => (
        <li key={user.kind + user.id}>
          <span className="sk-muted">{t(`artifact.kind.${user.kind === 'container' ? 'container' : user.kind === 'app' ? 'app' : 'service'}`)}</span>{' '}
          {user.appName ? <Link to={`/apps/${encodeURIComponent(user.appName)}`}>{user.appName === user.name ? user.name : `${user.appName} / ${user.name}`}</Link> : user.name}
        </li>
      ))}
    </ul>
  )
}
