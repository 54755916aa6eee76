// Package skerry is the root of the module. It holds no code: the door is
// cmd/skerry, the living room is appliance, and the tests here keep the rules
// of the house (docs/architecture.md).
package skerry
