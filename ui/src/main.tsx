import { createRoot } from 'react-dom/client'
import { App } from './app/App'
import './app/base.css'
import { startI18n } from './shared/lib/i18n'

startI18n()

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no element with the id "root"')
createRoot(root).render(<App />)
