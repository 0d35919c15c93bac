# That it can be used from Elixir as its README says. What Erlang's tests have is not tried again.
ExUnit.start()

defmodule LongnamesTest do
  use ExUnit.Case

  setup do
    {:ok, _} = Application.ensure_all_started(:longnames)
    server = :dns_server.start(:dns_server.txt([~c"shop@b.c", ~c"shop@a.c"]))
    on_exit(fn -> :dns_server.stop(server) end)
    {:ok, options: [nameservers: :dns_server.nameservers(server)]}
  end

  test "functions take strings and keyword lists", %{options: options} do
    assert :longnames.members("shop.erl.internal", options) == {:ok, [:"shop@b.c", :"shop@a.c"]}
    assert :longnames.await("shop.erl.internal", 2, 60_000, [margin: 100] ++ options) == {:ok, [:"shop@a.c", :"shop@b.c"]}
    assert :longnames.founder("shop.erl.internal", options) == {:ok, :"shop@a.c"}
  end

  # The directory is that of all of the checkout.
  test "what the README has is Elixir" do
    blocks = Regex.scan(~r/```elixir\n(.*?)```/s, File.read!("beam/README.elixir.md"), capture: :all_but_first) |> List.flatten()
    for block <- blocks, do: assert({:ok, _} = Code.string_to_quoted(block))
    System.put_env("POD_NAMESPACE", "prod")

    configs =
      for block <- blocks, block =~ ~r/^ *config /m do
        [{application, config}] = Config.Reader.eval!("README", "import Config\n" <> block, env: :prod)
        {application, config}
      end

    assert [longnames: [name: "shop.prod.svc.erl.internal"], libcluster: [topologies: [shop: topology]]] = configs
    assert Code.ensure_loaded?(topology[:strategy])
    [child] = for block <- blocks, block =~ "children", {children, _} = Code.eval_string(block), child <- children, do: child
    assert %{start: {:longnames_connector, :start_link, [_]}} = Supervisor.child_spec(child, [])
  end

  test "a supervisor takes it as a child, with a callback", %{options: options} do
    test = self()
    child = {:longnames, [name: "child.erl.internal", callback: &send(test, &1)] ++ options}
    {:ok, _} = Supervisor.start_link([child], strategy: :one_for_one)
    assert_receive {:members, ~c"child.erl.internal", [:"shop@b.c", :"shop@a.c"]}, 60_000
    assert %{~c"child.erl.internal" => %{failing: false, missing: [_, _]}} = :longnames.status()
  end
end
