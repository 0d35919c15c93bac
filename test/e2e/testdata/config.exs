# Says what config files have an app ask for, and the resolver by which it does. A resolver that does not exist is an
# error. For: elixir -pa MODULES config.exs ENVIRONMENT FILE...
[environment | files] = System.argv()

asked = fn topic ->
  names = for key <- [:service, :namespace, :query, :dns_name, :dns_cluster_query], name = topic[key], do: name

  resolvers =
    for resolver <- List.wrap(topic[:resolver]) do
      %{module: module, name: function, arity: arity} = Map.new(Function.info(resolver))
      {:module, _} = Code.ensure_loaded(module)
      true = function_exported?(module, function, arity)
      "#{inspect(module)}.#{function}/#{arity}"
    end

  names ++ resolvers
end

for file <- files do
  all =
    for {app, settings} <- Config.Reader.read!(file, env: String.to_atom(environment)) do
      case {app, settings} do
        {:libcluster, topologies: [{_name, topology}]} -> asked.(topology[:config])
        {_app, settings} -> asked.(settings)
      end
    end

  IO.puts(Enum.join([file, environment | List.flatten(all)], " "))
end
