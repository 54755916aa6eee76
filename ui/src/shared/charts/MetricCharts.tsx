import { Segmented } from 'antd'
import type { TFunction } from 'i18next'
import { useMemo, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { formatBytes, formatCores } from '../lib/format'
import { usePreferences, type Language } from '../lib/preferences'
import { ProblemAlert, type ProblemLike } from '../ui/ProblemAlert'
import { Chart } from './Chart'
import { bandOf, extent, newest, ranges, type MetricsLike, type MetricsRange } from './metrics'
import type { ChartSpec, Tone } from './option'
import './charts.css'

interface ChartsProps {
  metrics: MetricsLike | undefined
  range: MetricsRange
  onRange: (range: MetricsRange) => void
  problem?: ProblemLike | null
  retry?: () => void
}

/** The charts of one container: CPU, memory, network and disk, with its limits as lines. */
export function ContainerCharts(props: ChartsProps) {
  const { t } = useTranslation()
  return (
    <Frame {...props}>
      {(data) => (
        <>
          <Plain {...props} data={data} title={t('charts.cpu')} parts={[{ metric: 'cpu', name: t('charts.used'), tone: 'accent', area: true }]} limit={data.cpuLimit} />
          <Plain {...props} data={data} title={t('charts.memory')} parts={[{ metric: 'memory', name: t('charts.used'), tone: 'accent', area: true }]} limit={data.memoryLimitBytes} />
          <Flows {...props} data={data} />
        </>
      )}
    </Frame>
  )
}

/** The charts of a node: as a container's, with what its disk holds and its load average; its limits are what it has. */
export function NodeCharts({ cpus, memoryBytes, ...props }: ChartsProps & { cpus?: number; memoryBytes?: number }) {
  const { t } = useTranslation()
  return (
    <Frame {...props}>
      {(data) => (
        <>
          <Plain {...props} data={data} title={t('charts.cpu')} parts={[{ metric: 'cpu', name: t('charts.used'), tone: 'accent', area: true }]} limit={data.cpuLimit || cpus} whole />
          <Plain {...props} data={data} title={t('charts.memory')} parts={[{ metric: 'memory', name: t('charts.used'), tone: 'accent', area: true }]} limit={data.memoryLimitBytes || memoryBytes} whole />
          <Plain {...props} data={data} title={t('charts.diskUsed')} parts={[{ metric: 'disk', name: t('charts.used'), tone: 'accent', area: true }]} limit={data.diskTotalBytes} whole />
          <Plain {...props} data={data} title={t('charts.load')} parts={[{ metric: 'load1', name: t('charts.load'), tone: 'accent' }]} />
          <Flows {...props} data={data} />
        </>
      )}
    </Frame>
  )
}

/**
 * The charts of a service: what lies between its least and its most loaded replica as a band, and the most loaded one by
 * name. Limits are those of one replica.
 */
export function ServiceCharts(props: ChartsProps) {
  const { t } = useTranslation()
  return (
    <Frame {...props}>
      {(data) => (
        <>
          <Banded {...props} data={data} title={t('charts.cpu')} metric="cpu" limit={data.cpuLimit} />
          <Banded {...props} data={data} title={t('charts.memory')} metric="memory" limit={data.memoryLimitBytes} />
          <Banded {...props} data={data} title={t('charts.received')} metric="networkRx" />
          <Banded {...props} data={data} title={t('charts.sent')} metric="networkTx" />
          <Banded {...props} data={data} title={t('charts.read')} metric="blockRead" />
          <Banded {...props} data={data} title={t('charts.written')} metric="blockWrite" />
        </>
      )}
    </Frame>
  )
}

function Frame({ metrics, range, onRange, problem, retry, children }: ChartsProps & { children: (metrics: MetricsLike) => ReactNode }) {
  const { t } = useTranslation()
  return (
    <>
      <div className="sk-toolbar">
        <Segmented<MetricsRange>
          aria-label={t('charts.range')}
          value={range}
          onChange={onRange}
          options={(Object.keys(ranges) as MetricsRange[]).map((value) => ({ value, label: t(`charts.ranges.${value}`) }))}
        />
        {range === '15m' && metrics && <span className="sk-muted">{t('charts.live')}</span>}
      </div>
      {problem && <ProblemAlert problem={problem} retry={retry} />}
      <div className="sk-charts" aria-busy={!metrics && !problem}>
        {metrics ? children(metrics) : problem ? null : [0, 1, 2, 3].map((i) => <section key={i} className="sk-section sk-chart-card" style={{ height: 246 }} />)}
      </div>
    </>
  )
}

type Part = { metric: string; name: string; tone: Tone; area?: boolean }

function Flows({ data, range }: { data: MetricsLike; range: MetricsRange }) {
  const { t } = useTranslation()
  return (
    <>
      <Plain data={data} range={range} title={t('charts.network')} parts={[{ metric: 'networkRx', name: t('charts.in'), tone: 'accent' }, { metric: 'networkTx', name: t('charts.out'), tone: 'orange' }]} />
      <Plain data={data} range={range} title={t('charts.disk')} parts={[{ metric: 'blockRead', name: t('charts.reading'), tone: 'accent' }, { metric: 'blockWrite', name: t('charts.writing'), tone: 'orange' }]} />
    </>
  )
}

/** One or two lines. `whole`: the limit is all there is, not a bound that somebody set. */
function Plain({ data, range, title, parts, limit, whole }: { data: MetricsLike; range: MetricsRange; title: string; parts: Part[]; limit?: number; whole?: boolean }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const names = parts.map(({ name }) => name).join('\n')
  const spec = useMemo((): ChartSpec | null => {
    const found = parts.flatMap((part) => {
      const series = data.series.find(({ metric }) => metric === part.metric)
      return series ? [{ part, series }] : []
    })
    const unit = found[0]?.series.unit
    if (!unit) return null
    return {
      ...frameOf(data, range, unit, t, language),
      lines: found.map(({ part, series }) => ({ name: part.name, values: series.values, tone: part.tone, area: part.area })),
      limits: limit && limit > 0 ? [{ name: whole ? t('charts.whole') : t('charts.limit'), value: limit, whole }] : [],
    }
    // The parts are made anew at each drawing; their names say whether they are others.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [data, range, names, limit, whole, t, language])
  if (!spec) return <Nothing title={title} />
  const [first] = spec.lines
  const now = first && spec.lines.length === 1 ? newest(first.values, 30) : undefined
  return (
    <Card
      title={title}
      spec={spec}
      range={range}
      now={now === undefined ? undefined : <>{spec.format(now)}{limit ? <small> / {spec.format(limit)}</small> : null}</>}
      legend={
        spec.lines.length > 1 &&
        spec.lines.map(({ name, tone, values }) => {
          const last = newest(values, 30)
          return (
            <span key={name}>
              <i style={{ background: `var(--sk-${tone})` }} />
              {name} <b className="sk-number">{last === undefined ? '–' : spec.format(last)}</b>
            </span>
          )
        })
      }
    />
  )
}

/** Several containers: band and the worst by name. One container alone is a line. */
function Banded({ data, range, title, metric, limit }: { data: MetricsLike; range: MetricsRange; title: string; metric: string; limit?: number }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const spec = useMemo((): (ChartSpec & { worst?: string }) | null => {
    const series = data.series.filter((each) => each.metric === metric)
    const unit = series[0]?.unit
    if (!unit) return null
    const band = bandOf(series)
    if (!band.worst) return null
    return {
      ...frameOf(data, range, unit, t, language),
      lines: [{ name: band.worst.name, values: band.worst.values, tone: series.length > 1 ? 'orange' : 'accent', area: series.length === 1 }],
      band: series.length > 1 ? { name: t('charts.all', { count: series.length }), min: band.min, max: band.max, tone: 'accent' } : undefined,
      limits: limit && limit > 0 ? [{ name: t('charts.limit'), value: limit }] : [],
      worst: band.worst.name,
    }
  }, [data, range, metric, limit, t, language])
  if (!spec) return <Nothing title={title} />
  const now = newest(spec.lines[0]?.values ?? [], 30)
  return (
    <Card
      title={title}
      spec={spec}
      range={range}
      now={now === undefined ? undefined : <>{spec.format(now)}{limit ? <small> / {spec.format(limit)}</small> : null}</>}
      legend={
        <>
          {spec.band && (
            <span>
              <i className="sk-chart-soft" style={{ background: 'var(--sk-accent)' }} />
              {spec.band.name}
            </span>
          )}
          <span>
            <i style={{ background: `var(--sk-${spec.band ? 'orange' : 'accent'})` }} />
            {spec.band ? t('charts.worst') : ''} <b>{spec.worst}</b>
          </span>
        </>
      }
    />
  )
}

function Card({ title, spec, range, now, legend }: { title: string; spec: ChartSpec; range: MetricsRange; now?: ReactNode; legend: ReactNode }) {
  const { t } = useTranslation()
  const summary = [
    t('charts.summary', { title, range: t(`charts.ranges.${range}`) }),
    ...spec.lines.map(({ name, values }) => {
      const found = extent(values)
      return found ? t('charts.summaryLine', { name, now: spec.format(found.last), min: spec.format(found.min), max: spec.format(found.max) }) : t('charts.summaryNone', { name })
    }),
    ...spec.limits.map(({ name, value }) => `${name}${t('charts.colon')}${spec.format(value)}`),
  ].join(' ')
  return (
    <section className="sk-section sk-chart-card">
      <header className="sk-chart-head">
        <h2>{title}</h2>
        <span className="sk-chart-now">{now}</span>
      </header>
      <div className="sk-chart-legend">{legend}</div>
      <Chart spec={spec} label={summary} />
    </section>
  )
}

function Nothing({ title }: { title: string }) {
  const { t } = useTranslation()
  return (
    <section className="sk-section sk-chart-card">
      <header className="sk-chart-head">
        <h2>{title}</h2>
      </header>
      <div className="sk-chart-none" style={{ height: 187 }}>
        {t('charts.none')}
      </div>
    </section>
  )
}

/** What all charts of an answer share. */
function frameOf(data: MetricsLike, range: MetricsRange, unit: string, t: TFunction, language: Language): Omit<ChartSpec, 'lines' | 'limits'> {
  const end = Date.parse(data.to)
  const known = unit === 'cores' || unit === 'bytes' || unit === 'bytesPerSecond' ? unit : 'count'
  const formats: Record<ChartSpec['unit'], (value: number) => string> = {
    cores: (value) => t('charts.cores', { value: formatCores(value) }),
    bytes: formatBytes,
    bytesPerSecond: (value) => t('charts.perSecond', { value: formatBytes(value) }),
    count: (value) => String(Number(value.toFixed(2))),
  }
  const locale = language === 'zh' ? 'zh-CN' : 'en-GB'
  const days = range === '7d'
  const short = new Intl.DateTimeFormat(locale, days ? { month: 'numeric', day: 'numeric' } : { hour: '2-digit', minute: '2-digit', hour12: false })
  const exact = new Intl.DateTimeFormat(locale, { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', ...(range === '15m' || range === '1h' ? { second: '2-digit' as const } : {}), hour12: false })
  return {
    from: Date.parse(data.from),
    step: data.stepSeconds,
    window: [end - ranges[range].seconds * 1000, end],
    unit: known,
    format: formats[known],
    clock: (ms, whole) => (whole ? exact : short).format(ms),
  }
}
