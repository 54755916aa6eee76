// The import rules of the console: app -> features -> shared and api. A feature never imports another feature;
// what two features need belongs to shared (no knowledge of the API) or to api.
import tseslint from 'typescript-eslint'
import reactHooks from 'eslint-plugin-react-hooks'

const forbid = (patterns) => ({
  'no-restricted-imports': ['error', { patterns }],
})

const outOfReach = {
  app: { group: ['@/app/*', '**/app/*'], message: 'Only app knows app: features and shared stand below it.' },
  features: { group: ['@/features/*', '**/features/*'], message: 'A feature imports no other feature; move what both need to shared or api.' },
  up: { group: ['../*'], message: 'A feature is one flat folder: reach other folders by @/, your own by ./.' },
  api: { group: ['@/api/*', '**/api/*'], message: 'shared knows no API: pass the data in.' },
  generated: { group: ['**/__generated__/*'], message: 'Import types from @/api/model, not from the generated file.' },
  mock: { group: ['@mock/*', '**/mock/*'], message: 'The product never imports the mock.' },
}

export default tseslint.config(
  { ignores: ['dist', '.preview', 'node_modules', 'screenshots', 'src/api/__generated__', 'placeholder'] },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.{ts,tsx}'],
    plugins: { 'react-hooks': reactHooks },
    rules: {
      ...reactHooks.configs.recommended.rules,
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  { files: ['src/app/**'], rules: forbid([outOfReach.generated, outOfReach.mock]) },
  { files: ['src/features/**'], rules: forbid([outOfReach.app, outOfReach.features, outOfReach.up, outOfReach.generated, outOfReach.mock]) },
  { files: ['src/shared/**'], rules: forbid([outOfReach.app, outOfReach.features, outOfReach.api, outOfReach.generated, outOfReach.mock]) },
  { files: ['src/api/**'], rules: forbid([outOfReach.app, outOfReach.features, outOfReach.mock]) },
  { files: ['src/**/*.test.{ts,tsx}'], rules: { 'no-restricted-imports': 'off' } },
)
