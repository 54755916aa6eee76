import { Link } from 'react-router'

/** The mark of the product; leads home. */
export function Brand() {
  return (
    <Link to="/" className="sk-brand">
      <svg width="24" height="24" viewBox="0 0 32 32" aria-hidden>
        <rect width="32" height="32" rx="7" fill="#0f6b75" />
        <path d="M5 21c3-6 6-9 9-9 2 0 3 2 4 2s2-4 4-4c3 0 4 6 5 11z" fill="#fff" />
        <path d="M5 24.5h22" stroke="#9fe0e0" strokeWidth="2" strokeLinecap="round" />
      </svg>
      Skerry
    </Link>
  )
}
