import { useEffect, useRef, useState } from 'react'

/** Takes files dropped anywhere on the page while it is on; tells whether some are held over it just now. */
export function useFileDrop(on: boolean, take: (files: File[]) => void): boolean {
  const [over, setOver] = useState(false)
  const taker = useRef(take)
  useEffect(() => {
    taker.current = take
  })
  useEffect(() => {
    if (!on) return
    // Entering a child comes before leaving its parent, so the two are counted.
    let depth = 0
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
    const enter = (event: DragEvent) => {
      if (hasFiles(event)) setOver(++depth > 0)
    }
    const leave = (event: DragEvent) => {
      if (hasFiles(event)) setOver(--depth > 0)
    }
    const hold = (event: DragEvent) => {
      if (hasFiles(event)) event.preventDefault()
    }
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return
      event.preventDefault()
      depth = 0
      setOver(false)
      taker.current([...(event.dataTransfer?.files ?? [])])
    }
    addEventListener('dragenter', enter)
    addEventListener('dragleave', leave)
    addEventListener('dragover', hold)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragenter', enter)
      removeEventListener('dragleave', leave)
      removeEventListener('dragover', hold)
      removeEventListener('drop', drop)
      setOver(false)
    }
  }, [on])
  return over
}
