package main

import "slices"

// scenarios are all of them, in the order in which they are begun: those first that take long, and mostly wait.
func scenarios() []scenario {
	return slices.Concat(
		deployScenarios(),
		imageScenarios(),
		setScenarios(),
		portScenarios(),
		monitoringScenarios(),
		operationsScenarios(),
		lifeScenarios(),
		metricScenarios(),
		rightsScenarios(),
		olderScenarios(),
		digScenarios(),
		dnssecScenarios(),
		transferScenarios(),
	)
}
