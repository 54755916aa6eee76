import { DownloadOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Skeleton } from 'antd'
import { useTranslation } from 'react-i18next'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { clusterQuery, nodesQuery } from '@/api/queries'
import { downloadText } from '@/shared/lib/download'
import { commandLine, curl } from '@/shared/lib/shell'
import '@/shared/ui/artifacts.css'
import { CodeLines } from '@/shared/ui/CodeLines'
import { CopyButton } from '@/shared/ui/CopyButton'
import { Facts, Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { CertificateSection } from './CertificateSection'

export default function SettingsPage() {
  const { t } = useTranslation()
  return (
    <Page title={t('nav.settings')} plainTitle={t('nav.settings')} actions={<SameAs api={curl({ path: '/cluster' })} />}>
      <div className="sk-columns">
        <CertificateSection />
        <ClusterSection />
      </div>
    </Page>
  )
}

/** The cluster's identity, its authority and its pools. */
function ClusterSection() {
  const { t } = useTranslation()
  const may = useMay()
  const cluster = useQuery(clusterQuery)
  const nodes = useQuery({ ...nodesQuery, enabled: may('node.read') })
  if (cluster.isError) return <ProblemAlert problem={asProblem(cluster.error)} retry={() => void cluster.refetch()} />
  if (!cluster.data) {
    return (
      <Section title={t('cluster.title')}>
        <Skeleton active title={false} />
      </Section>
    )
  }
  const { id, createdAt, featureLevel, skerryVersion, pool, vipPool, portMin, portMax, caCertificate, caFingerprint } = cluster.data
  const versions = new Map<string, string[]>()
  for (const node of nodes.data?.items ?? []) versions.set(node.status.skerryVersion || '–', [...(versions.get(node.status.skerryVersion || '–') ?? []), node.name])
  return (
    <div>
      <Section title={t('cluster.title')}>
        <Facts
          items={[
            { label: t('column.id'), value: <code>{id}</code> },
            { label: t('cluster.made'), value: <Time at={createdAt} /> },
            { label: t('cluster.version'), value: skerryVersion },
            { label: t('cluster.featureLevel'), value: featureLevel },
            { label: t('cluster.pool'), value: <code>{pool}</code> },
            { label: t('cluster.vipPool'), value: <code>{vipPool}</code> },
            { label: t('cluster.ports'), value: `${portMin}–${portMax}` },
            ...[...versions].map(([version, names]) => ({ label: t('cluster.nodesWith', { version }), value: names.join(', ') })),
          ]}
        />
      </Section>
      <Section
        title={t('cluster.authority')}
        extra={
          <Button size="small" icon={<DownloadOutlined />} disabled={!caCertificate} onClick={() => downloadText('skerry-ca.crt', caCertificate)}>
            {t('guide.downloadCa')}
          </Button>
        }
      >
        <div className="sk-stack">
          <p className="sk-note">{t('cluster.authorityHelp')}</p>
          <div>
            <span className="sk-muted">{t('certificate.fingerprint')}</span>
            <div>
              <span className="sk-fingerprint">{caFingerprint}</span> <CopyButton text={caFingerprint} />
            </div>
          </div>
          <CodeLines lines={[commandLine('skerry', 'login', '--ca-fingerprint', caFingerprint, location.origin)]} label={t('cluster.login')} />
        </div>
      </Section>
    </div>
  )
}
