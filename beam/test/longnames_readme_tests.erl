-module(longnames_readme_tests).
-include_lib("eunit/include/eunit.hrl").

%% The directory is that of all of the checkout.
-define(README, "beam/README.md").

%% What a README has for rebar.config and sys.config are terms, and the rest is Erlang.
blocks_test_() ->
    [{string:slice(Block, 0, 40), fun() ->
         {ok, Tokens, _} = erl_scan:string(Block),
         ?assertMatch({ok, _}, erl_parse:parse_exprs(Tokens))
     end} || Block <- blocks("erlang")].

sys_config_test() ->
    [Block] = [B || B <- blocks("erlang"), string:find(B, "sys.config") =/= nomatch],
    {ok, Tokens, _} = erl_scan:string(Block),
    {ok, [{longnames, Env}]} = erl_parse:parse_term(Tokens),
    ?assertMatch(#{start := {longnames_connector, start_link, [#{name := "shop.prod.svc.erl.internal"}]}},
                 longnames:child_spec(Env)).

%% What a reader copies has the version of this application. The tag of a release is that with a v.
version_test_() ->
    ok = case application:load(longnames) of {error, {already_loaded, _}} -> ok; Loaded -> Loaded end,
    {ok, Version} = application:get_key(longnames, vsn),
    [{Readme, fun() ->
         {ok, Text} = file:read_file(Readme),
         {match, Found} = re:run(Text, "longnames, \"([^\"]*)\"|tag[:,] \"v([^\"]*)\"|branch", [global, {capture, all, list}]),
         ?assertEqual([Version, Version], [lists:last(Groups) || Groups <- Found])
     end} || Readme <- [?README, "beam/README.elixir.md"]].

%% Its functions are those of the module, and no others.
functions_test() ->
    {ok, Text} = file:read_file(?README),
    {match, Named} = re:run(Text, "`([a-z_]+)/([0-9])`", [global, {capture, all_but_first, list}]),
    ?assertEqual(lists:sort(longnames:module_info(exports) -- [{module_info, 0}, {module_info, 1}]),
                 lists:usort([{list_to_existing_atom(F), list_to_integer(Arity)} || [F, Arity] <- Named])).

blocks(Language) ->
    {ok, Text} = file:read_file(?README),
    {match, Blocks} = re:run(Text, "```" ++ Language ++ "\n(.*?)```", [global, dotall, {capture, all_but_first, list}]),
    lists:append(Blocks).
