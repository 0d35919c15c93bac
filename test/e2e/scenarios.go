package main

import "slices"

// scenarios are all of them, in the order in which they are begun: those first that take long, and mostly wait.
func scenarios() []scenario {
	return slices.Concat(
		rabbitScenarios(),
		deployScenarios(),
		imageScenarios(),
		clientsScenarios(),
		nameScenarios(),
		setScenarios(),
		portScenarios(),
		monitoringScenarios(),
		operationsScenarios(),
		lifeScenarios(),
		metricScenarios(),
		rightsScenarios(),
		olderScenarios(),
		beamScenarios(),
		inetResScenarios(),
		digScenarios(),
		dnssecScenarios(),
		transferScenarios(),
	)
}
