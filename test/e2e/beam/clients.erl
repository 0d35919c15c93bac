%% What each client asks, and which nodes it makes of the answer: docs/clients.md says where that was read.
-module(clients).
-export([main/0, endpoints/2]).

%% main is for: erl -s clients main -extra TIMES CLIENT NAME BASENAME...
%% It says for each client, each time, which nodes it would connect to. A client that would crash does so here, too.
main() ->
    [Times | Questions] = init:get_plain_arguments(),
    main(list_to_integer(Times), Questions),
    halt(0).

main(_, []) -> ok;
main(Times, [Client, Name, Basename | Rest]) ->
    [io:format("NODES ~s~n", [lists:join(" ", lists:usort(nodes(Client, Name, Basename)))]) || _ <- lists:seq(1, Times)],
    main(Times, Rest).

nodes("longnames", Name, _) ->
    {ok, Members} = longnames:members(Name),
    [atom_to_list(Member) || Member <- Members];
%% It takes a host entry without aliases and of family inet only: a CNAME in the answer is its end.
nodes("libcluster Kubernetes.DNS", Name, Basename) ->
    case inet_res:getbyname(Name, a) of
        {ok, {hostent, _, [], inet, _, Addresses}} -> [Basename ++ "@" ++ inet_parse:ntoa(A) || A <- Addresses];
        {error, _} -> []
    end;
nodes("libcluster Kubernetes.DNSSRV", Name, Basename) ->
    case inet_res:getbyname(Name, srv) of
        {ok, {hostent, _, _, srv, _, Records}} -> [Basename ++ "@" ++ Target || {_, _, _, Target} <- Records];
        {error, _} -> []
    end;
%% It makes addresses of SRV records, too.
nodes("dns_cluster 0.3", Name, Basename) ->
    Addresses = [Address || {_, _, _, Target} <- getbyname(Name, srv), Address <- addresses(inet:gethostbyname(Target))],
    at(Basename, getbyname(Name, a) ++ getbyname(Name, aaaa) ++ Addresses);
nodes("getbyname a aaaa", Name, Basename) ->
    at(Basename, getbyname(Name, a) ++ getbyname(Name, aaaa));
nodes("lookup srv", Name, Basename) ->
    [Basename ++ "@" ++ Target || {_, _, _, Target} <- lookup(Name, srv)];
nodes("lookup " ++ Types, Name, Basename) ->
    at(Basename, [Address || Type <- string:lexemes(Types, " "), Address <- lookup(Name, list_to_existing_atom(Type))]);
%% The resolver that the inetrc names finds the names.
nodes("rabbitmq", Name, Basename) ->
    [begin
         {ok, Host} = inet:gethostbyaddr(Address),
         Basename ++ "@" ++ element(2, Host)
     end || Address <- lookup(Name, a) ++ lookup(Name, aaaa)];
nodes("partisan fqdns", Name, Basename) ->
    [begin
         {ok, {hostent, Host, _, _, _, _}} = inet_res:gethostbyaddr(Address),
         Basename ++ "@" ++ Host
     end || Address <- inet_res:lookup(Name, in, a, [], 5000)];
%% It needs an address for each target, and connects to the port. Hence that has to be there, too.
nodes("partisan srv", Name, Basename) ->
    [begin
         Address = case inet:parse_address(Target) of
                       {ok, Parsed} -> Parsed;
                       {error, einval} -> hd(getbyname(Target, a))
                   end,
         Basename ++ "@" ++ Target ++ "=" ++ inet:ntoa(Address) ++ ":" ++ integer_to_list(Port)
     end || {_, _, Port, Target} <- inet_res:lookup(Name, in, srv, [], 5000)];
nodes("gen_cluster srv", Name, Basename) ->
    {ok, {hostent, _, _, _, _, Records}} = inet_res:getbyname(Name, srv, 5000),
    [Basename ++ "@" ++ Target || {_, _, _, Target} <- Records];
nodes("caravan", Name, Basename) ->
    [Basename ++ "-" ++ integer_to_list(Port) ++ "@" ++ Target || {_, _, Port, Target} <- lookup(Name, srv)].

lookup(Name, Type) -> inet_res:lookup(Name, in, Type).

getbyname(Name, Type) -> addresses(inet_res:getbyname(Name, Type)).

addresses({ok, Host}) -> element(6, Host);
addresses({error, _}) -> [].

at(Basename, Addresses) -> [Basename ++ "@" ++ inet:ntoa(A) || A <- Addresses].

%% What ready endpoints have under "ip" or "hostname", as libcluster's Kubernetes strategy lists them, with the account of
%% the pod.
endpoints(Url, Field) ->
    [{ok, _} = application:ensure_all_started(Application) || Application <- [inets, ssl]],
    Account = "/var/run/secrets/kubernetes.io/serviceaccount/",
    {ok, Token} = file:read_file(Account ++ "token"),
    Headers = [{"authorization", "Bearer " ++ binary_to_list(Token)}],
    TLS = [{verify, verify_peer}, {cacertfile, Account ++ "ca.crt"}],
    {ok, {{_, 200, _}, _, Body}} = httpc:request(get, {Url, Headers}, [{ssl, TLS}], []),
    Ready = re:replace(Body, "\"notReadyAddresses\":\\[[^]]*\\]", "", [global, {return, list}]),
    case re:run(Ready, "\"" ++ Field ++ "\":\"([^\"]+)\"", [global, {capture, all_but_first, list}]) of
        {match, Values} -> lists:append(Values);
        nomatch -> []
    end.
