import { useQuery } from '@tanstack/react-query'
import { Table, type TableColumnsType } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { nodesQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { NodeStatus } from './NodeStatus'

export default function ListPage() {
  const { t } = useTranslation()
  const nodes = useQuery(nodesQuery)
  const columns: TableColumnsType<Node> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, node) => (
        <span className="sk-namecell">
          <NodeStatus node={node} />
          <Link className="sk-name" to={`/nodes/${encodeURIComponent(node.name)}`}>
            {node.name}
          </Link>
        </span>
      ),
    },
    { key: 'address', title: t('column.address'), responsive: ['md'], render: (_, { status }) => <span className="sk-number">{status.address}</span> },
    { key: 'cpus', title: t('measure.coresTitle'), align: 'right', render: (_, { status }) => <span className="sk-number">{status.cpus}</span> },
    { key: 'memory', title: t('measure.memory'), align: 'right', render: (_, { status }) => <span className="sk-number">{formatBytes(status.memoryBytes)}</span> },
    { key: 'version', title: t('column.version'), responsive: ['md'], render: (_, { status }) => status.skerryVersion },
    { key: 'age', title: t('column.age'), align: 'right', responsive: ['sm'], render: (_, node) => <span className="sk-nowrap"><Time at={node.createdAt} /></span> },
  ]
  return (
    <Page title={t('nav.nodes')} plainTitle={t('nav.nodes')}>
      {nodes.isError && <ProblemAlert problem={asProblem(nodes.error)} retry={() => void nodes.refetch()} />}
      <Section flush>
        <Table rowKey="id" size="middle" columns={columns} dataSource={nodes.data?.items} loading={nodes.isPending} pagination={false} />
      </Section>
    </Page>
  )
}
