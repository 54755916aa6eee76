import { useEffect, useRef, useState } from 'react'
import { useScheme } from '../lib/scheme'
import type { Drawing } from './draw'
import { optionOf, type ChartSpec } from './option'
import './charts.css'

/** One chart. What it shows is said in words too: `label` is its summary for those who do not see it. */
export function Chart({ spec, label, height = 168 }: { spec: ChartSpec; label: string; height?: number }) {
  const place = useRef<HTMLDivElement>(null)
  const scheme = useScheme()
  const [drawing, setDrawing] = useState<Drawing | null>(null)
  useEffect(() => {
    let gone = false
    let made: Drawing | undefined
    void import('./draw').then(({ draw }) => {
      if (gone || !place.current) return
      made = draw(place.current)
      setDrawing(made)
    })
    return () => {
      gone = true
      made?.dispose()
      setDrawing(null)
    }
  }, [])
  useEffect(() => drawing?.set(optionOf(spec, scheme)), [drawing, spec, scheme])
  return <div ref={place} className="sk-chart" role="img" aria-label={label} style={{ height }} />
}
