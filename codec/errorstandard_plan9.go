package codec

// platformErrorTypes: Plan 9's errors are strings without numbers.
func platformErrorTypes() []ErrorType { return nil }
