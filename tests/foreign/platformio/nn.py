import nnrules

Import("env")

nnrules.generate(env)
model = env.NNModel("models/tiny", isa=env.GetProjectOption("custom_isa", "portable"), selftest=True)
env.Append(CPPPATH=[model.include], PIOBUILDFILES=model)
