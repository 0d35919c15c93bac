%% @private The application, and its supervisor: a connector for the cluster that the environment names, if it names
%% one.
-module(longnames_app).
-behaviour(application).
-behaviour(supervisor).

-export([start/2, stop/1, init/1]).

%% @private
-spec start(term(), term()) -> {ok, pid()}.
start(_, _) ->
    Opts = maps:from_list(application:get_all_env(longnames)),
    {ok, _} = supervisor:start_link({local, longnames_sup}, ?MODULE, Opts).

%% @private
-spec stop(term()) -> ok.
stop(_) -> ok.

%% @private
-spec init(map()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Opts) ->
    longnames_status:new(),
    Children = [longnames_connector:child_spec(Opts) || is_map_key(name, Opts)],
    {ok, {#{intensity => 10, period => 10}, Children}}.
