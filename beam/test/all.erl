%% All that needs no other node: undefined functions, types, documentation, and the tests of each module.
-module(all).
-export([main/0]).

-define(TESTS, [longnames_dns_tests, longnames_tests, longnames_connector_tests, longnames_epmd_tests, longnames_strategy_tests,
                longnames_check_tests, longnames_readme_tests]).

main() ->
    Ebin = filename:dirname(code:which(longnames)),
    ok = undefined(Ebin),
    ok = analysed(Ebin, filename:dirname(Ebin)),
    ok = documented(filename:dirname(Ebin)),
    case eunit:test(?TESTS, [{scale_timeouts, 10}]) of
        ok -> halt(0);
        error -> halt(1)
    end.

undefined(Ebin) ->
    {ok, _} = xref:start(all),
    ok = xref:set_library_path(all, code_path),
    {ok, _} = xref:add_directory(all, Ebin),
    {ok, []} = xref:analyze(all, deprecated_function_calls),
    case xref:analyze(all, undefined_function_calls) of
        {ok, []} -> ok;
        {ok, Undefined} ->
            io:format("undefined: ~p~n", [Undefined]),
            halt(1)
    end.

%% A table of the types of all of OTP takes minutes. What is used of it is enough.
analysed(Ebin, Dir) ->
    Files = filelib:wildcard(filename:join(Ebin, "*.beam")),
    Libcluster = code:which('Elixir.Cluster.Strategy'),
    Used = lists:usort([Module || File <- Files, {ok, {_, [{imports, Imports}]}} <- [beam_lib:chunks(File, [imports])],
                                  {Module, _, _} <- Imports, code:which(Module) =/= Libcluster]),
    Plt = filename:join(Dir, "plt"),
    _ = dialyzer:run([{analysis_type, plt_build}, {output_plt, Plt}, {files, [beam(Module) || Module <- Used]}]),
    case dialyzer:run([{init_plt, Plt}, {files, [Libcluster | Files]},
                       {warnings, [unknown, unmatched_returns, extra_return, missing_return]}]) of
        [] -> ok;
        Warnings ->
            io:format("~s", [[dialyzer:format_warning(Warning) || Warning <- Warnings]]),
            halt(1)
    end.

beam(Module) ->
    case code:which(Module) of
        preloaded -> filename:join([code:lib_dir(erts), "ebin", atom_to_list(Module) ++ ".beam"]);
        File -> File
    end.

%% edoc exits where a comment is none that it understands.
documented(Dir) ->
    Sources = [proplists:get_value(source, Module:module_info(compile))
               || File <- filelib:wildcard(filename:join([Dir, "ebin", "*.beam"])),
                  Module <- [list_to_atom(filename:basename(File, ".beam"))]],
    edoc:files(Sources, [{dir, filename:join(Dir, "doc")}]).
