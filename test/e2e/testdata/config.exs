# Says what a config file has an app ask for, and the resolver by which it does. A resolver that does not exist is an
# error. For: elixir -pa MODULES config.exs FILE ENVIRONMENT
[file, environment] = System.argv()

topics =
  for {app, settings} <- Config.Reader.read!(file, env: String.to_atom(environment)) do
    case {app, settings} do
      {:libcluster, topologies: [{_name, topology}]} -> topology[:config]
      {_app, settings} -> settings
    end
  end

for topic <- topics do
  names = for key <- [:service, :namespace, :query, :dns_name, :dns_cluster_query], name = topic[key], do: name

  resolvers =
    for resolver <- List.wrap(topic[:resolver]) do
      %{module: module, name: function, arity: arity} = Map.new(Function.info(resolver))
      {:module, _} = Code.ensure_loaded(module)
      true = function_exported?(module, function, arity)
      "#{inspect(module)}.#{function}/#{arity}"
    end

  IO.puts(Enum.join(names ++ resolvers, " "))
end
