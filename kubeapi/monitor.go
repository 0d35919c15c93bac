package kubeapi

// Monitor is told how a source is getting on, for metrics. Calls may come from several
// goroutines at once.
type Monitor interface {
	// Heard is called at each sign of life of the API server: an answer to a request,
	// whatever it says, or an event of a watch, bookmarks included.
	Heard()
	// Requested is called once for each request, with its verb, list or watch, and with the HTTP
	// status of the answer; 0 if there was none. It is not called for a request without an answer
	// that ended because the source stops.
	Requested(verb string, code int)
	// WatchEnded is called once for each watch, of a streamed list or not, that has
	// ended or could not be opened, with one of the reasons WatchClosed and so on. It is not called
	// for a watch that ended because the source stops.
	WatchEnded(reason string)
	// SnapshotWritten is called after each try to write a snapshot, with its error.
	SnapshotWritten(err error)
}
