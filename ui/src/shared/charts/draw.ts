import { LineChart } from 'echarts/charts'
import { GridComponent, MarkLineComponent, TooltipComponent } from 'echarts/components'
import { init, use as register, type EChartsCoreOption } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

// Only what the charts use of ECharts. SVG, because it is sharp at every density and needs no script or worker of its own.
register([LineChart, GridComponent, TooltipComponent, MarkLineComponent, SVGRenderer])

export interface Drawing {
  set: (option: EChartsCoreOption) => void
  dispose: () => void
}

/** Draws into an element and follows its size. This module is loaded when the first chart is shown. */
export function draw(element: HTMLElement): Drawing {
  const chart = init(element, undefined, { renderer: 'svg' })
  const observer = new ResizeObserver(() => chart.resize())
  observer.observe(element)
  return {
    set: (option) => chart.setOption(option, { notMerge: true, lazyUpdate: true }),
    dispose: () => {
      observer.disconnect()
      chart.dispose()
    },
  }
}
