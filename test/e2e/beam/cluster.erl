%% A node that finds its peers by DNS alone, as libcluster's strategies do: it asks each second, connects to whom it
%% finds, and disconnects from whom it finds no longer. An error or an empty answer means that everybody has left.
-module(cluster).
-export([main/0, ask/0]).

%% main is for: erl -s cluster main -extra KIND NAME BASENAME...
%% With several questions, it finds whom all of the answers have.
main() -> poll(questions(init:get_plain_arguments()), []).

questions([]) -> [];
questions([Kind, Name, Basename | Rest]) -> [{list_to_existing_atom(Kind), Name, Basename} | questions(Rest)].

poll(Questions, Known) ->
    [First | Others] = [lists:usort(find(Kind, Name, Basename)) || {Kind, Name, Basename} <- Questions],
    Found = [N || N <- First, N =/= node(), lists:all(fun(Other) -> lists:member(N, Other) end, Others)],
    case Known -- Found of
        [] -> ok;
        Gone -> downs:lost(Gone), say("DROPPED", Gone), [erlang:disconnect_node(N) || N <- Gone]
    end,
    Connected = [N || N <- Found, lists:member(N, nodes()) orelse net_kernel:connect_node(N) =:= true],
    say("FOUND", Connected),
    say("NODES", nodes()),
    timer:sleep(1000),
    poll(Questions, Connected).

say(What, Nodes) ->
    io:format("~s ~s~n", [What, lists:join(" ", lists:sort([atom_to_list(N) || N <- Nodes]))]).

%% Each way takes an error for an empty set. getbyname caches and lookup does not, as it is in the libraries.
find(srv, Name, Basename) ->
    [node_name(Basename, Target) || {_, _, _, Target} <- getbyname(Name, srv)];
find(txt, Name, _) ->
    [list_to_atom(lists:append(Strings)) || Strings <- inet_res:lookup(Name, in, txt)];
find(a, Name, Basename) ->
    [node_name(Basename, inet:ntoa(Address)) || Address <- getbyname(Name, a)];
find(aaaa, Name, Basename) ->
    [node_name(Basename, inet:ntoa(Address)) || Address <- getbyname(Name, aaaa)];
%% As libcluster's DNS strategies do with a resolver of their own, which is what our pages print: it remembers.
find(remembered_srv, Name, Basename) ->
    [node_name(Basename, Target) || {_, _, _, Target} <- found('Elixir.Shop.Peers':srv(Name))];
find(remembered_a, Name, Basename) ->
    [node_name(Basename, inet:ntoa(Address)) || Address <- found('Elixir.Shop.Peers':a(Name))];
find(remembered_all, Name, Basename) ->
    [node_name(Basename, inet:ntoa(Address)) || Address <- 'Elixir.Shop.Peers':addresses(list_to_binary(Name))];
%% As nodes do that do without DNS: addresses of endpoints, by the API server.
find(api, Url, Basename) -> [node_name(Basename, Address) || Address <- clients:endpoints(Url, "ip")];
find(api_hostname, Url, Basename) ->
    [node_name(Basename, Hostname ++ "." ++ os:getenv("SUBDOMAIN")) || Hostname <- clients:endpoints(Url, "hostname")];
%% As CouchDB does, which has a list.
find(seeds, Nodes, _) -> [list_to_atom(Node) || Node <- string:lexemes(Nodes, ",")];
%% As RabbitMQ does: addresses, and the host name of each. OTP's own resolver takes two names for none.
find(ptr, Name, Basename) ->
    [node_name(Basename, Host) || Address <- addresses(Name), Host <- host(inet_res:gethostbyaddr(Address))].

addresses(Name) -> [Address || Type <- [a, aaaa], Address <- inet_res:lookup(Name, in, Type)].

getbyname(Name, Type) -> found(inet_res:getbyname(Name, Type)).

found({ok, HostEnt}) -> element(6, HostEnt);
found({error, _}) -> [].

host({ok, HostEnt}) -> [element(2, HostEnt)];
host({error, _}) -> [].

node_name(Basename, Host) -> list_to_atom(Basename ++ "@" ++ Host).

%% ask is for: erl -s cluster ask -extra TIMES [KIND TYPE NAME OPTIONS]...
%% It says for each question, each time, which values came.
ask() ->
    [Times | Questions] = init:get_plain_arguments(),
    ask(list_to_integer(Times), Questions),
    halt(0).

ask(_, []) -> ok;
ask(Times, [Kind, Type, Name, Options | Rest]) ->
    {ok, Tokens, _} = erl_scan:string(Options ++ "."),
    {ok, Parsed} = erl_parse:parse_term(Tokens),
    [io:format("GOT ~s~n", [lists:join(" ", ask(Kind, Name, list_to_existing_atom(Type), Parsed))]) || _ <- lists:seq(1, Times)],
    ask(Times, Rest).

ask("lookup", Name, Type, Options) -> [text(V) || V <- inet_res:lookup(Name, in, Type, Options)];
ask("getbyname", Name, Type, _) -> [text(V) || V <- getbyname(Name, Type)].

text({_, _, _, Target}) when is_list(Target) -> Target;
text([Longname]) -> Longname;
text(Address) -> inet:ntoa(Address).
