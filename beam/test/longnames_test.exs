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

  test "a supervisor takes it as a child, with a callback", %{options: options} do
    test = self()
    child = {:longnames, [name: "child.erl.internal", callback: &send(test, &1)] ++ options}
    {:ok, _} = Supervisor.start_link([child], strategy: :one_for_one)
    assert_receive {:members, ~c"child.erl.internal", [:"shop@b.c", :"shop@a.c"]}, 60_000
    assert %{~c"child.erl.internal" => %{failing: false, missing: [_, _]}} = :longnames.status()
  end
end
